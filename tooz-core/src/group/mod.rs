//! Groups: members join with capabilities, and others list and watch them.

mod capabilities;
#[expect(clippy::module_inception, reason = "the type `Group` has a file of its own, as every main type does")]
mod group;
mod member;
mod membership;
mod message_pack;
mod value;
mod watch;

pub use self::capabilities::Capabilities;
pub use self::group::Group;
pub use self::member::{Incarnation, Member};
pub use self::membership::Membership;
pub use self::value::Value;
pub use self::watch::{GroupEvent, GroupWatch};
