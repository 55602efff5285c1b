//! A driver that is broken on purpose, in one way at a time. It proves that the trials detect each fault.
//!
//! `broken://name?fault=grants-twice` is the memory driver with one [`Fault`]. Without a fault it is correct.

mod answers;
mod driver;
mod fault;
mod follower;
mod marked;
mod session;
mod topics;
mod waits;

pub use self::driver::DRIVER;
pub use self::fault::Fault;
