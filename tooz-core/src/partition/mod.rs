//! Dividing work among the members of a group by a consistent hash ring.

mod assignments;
mod hash_ring;
mod partitioner;
#[cfg(test)]
mod tests;

pub use self::assignments::{Assignment, AssignmentEvent, Assignments};
pub use self::hash_ring::HashRing;
pub use self::partitioner::Partitioner;
