//! Locks, leader election, group membership and messaging behind one async API; a URL chooses the backend.

mod characteristics;
pub mod driver;
mod error;
mod hash_ring;
mod name;
mod options;
mod registry;
mod service_url;

pub use self::characteristics::Characteristic;
pub use self::driver::DriverEntry;
pub use self::error::{Error, ErrorKind, Result};
pub use self::hash_ring::HashRing;
pub use self::name::Name;
pub use self::options::{OptionReader, OptionValue};
pub use self::registry::Registry;
pub use self::service_url::{Host, ServiceUrl};
/// For driver crates: `tooz_core::inventory::submit! { DRIVER }`.
pub use inventory;
pub mod memory;
