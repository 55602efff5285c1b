//! The file driver of tooz: `file:///directory` coordinates the processes of one host, without a server.
//!
//! The directory holds one SQLite database. A process that dies, by `kill -9` too, frees what it held at once and
//! without a timeout, because it takes its sockets with it. See `docs/drivers/file.md`.
//!
//! ```
//! use tooz_core::Registry;
//! use tooz_file as _;
//!
//! assert!(Registry::linked().driver(&"file:///tmp/tooz".parse()?).is_ok());
//! # Ok::<(), tooz_core::Error>(())
//! ```

mod config;
mod core;
mod database;
mod directory;
mod driver;
mod engine;
mod error;
mod layout;
mod line;
mod poke;
mod ring;
mod roster;
mod session;
mod station;
mod topics;
mod watch;
mod work;

pub use self::driver::DRIVER;
