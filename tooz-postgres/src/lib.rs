//! PostgreSQL for tooz: `postgres://user:password@host:5432/database`.
//!
//! Name the crate once, as in `use tooz_postgres as _;`, to link the driver. `docs/drivers/postgres.md` lists options and
//! guarantees.

mod client;
mod config;
mod driver;
mod error;
mod inbox;
mod layout;
mod roster;
mod session;
mod topics;

pub use self::driver::DRIVER;

tooz_core::inventory::submit! { DRIVER }
