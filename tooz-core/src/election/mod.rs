//! Leader election: one leader a term, and terms rise.

#[expect(clippy::module_inception, reason = "the type `Election` has a file of its own, as every main type does")]
mod election;
mod lead;
mod leadership;
mod observation;

pub use self::election::Election;
pub use self::leadership::{Leader, Leadership};
pub use self::observation::Observation;
