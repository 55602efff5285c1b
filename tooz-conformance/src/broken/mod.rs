//! A driver that is broken on purpose, in one way at a time: the proof that the suite notices.
//!
//! `broken://name?fault=grants-twice` is the memory driver with one [`Fault`]; without a fault it is sound.

mod driver;
mod fault;
mod session;
mod topics;

pub use self::driver::DRIVER;
pub use self::fault::Fault;
