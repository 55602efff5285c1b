//! The rules of histories, each a pure function over a history.

mod all;
mod eras;
mod exclusion;
mod group;
mod linear;
mod liveness;
mod loss;
mod observer;
mod rule;
mod spans;
mod tokens;
mod topic;

pub use self::all::{check, check_linearizability};
pub use self::rule::{Rule, Violation};
pub use self::spans::{Disturbances, Ending, Span, spans};
