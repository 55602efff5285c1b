//! The file driver of tooz: `file:///directory` coordinates the processes of one host, without a server.
//!
//! The directory holds one SQLite database. Each process proves that it lives by a lock of the operating system, so a
//! process that dies, by `kill -9` too, frees what it held at once and without a timeout. See `docs/drivers/file.md`.
//!
//! ```
//! use tooz_core::Registry;
//! use tooz_file as _;
//!
//! assert!(Registry::linked().driver(&"file:///tmp/tooz".parse()?).is_ok());
//! # Ok::<(), tooz_core::Error>(())
//! ```

mod config;
mod db;
mod directory;
mod driver;
mod error;
mod file_system;
mod layout;
mod peers;
mod process;
mod roster;
mod session;
mod topics;

pub use self::driver::DRIVER;
