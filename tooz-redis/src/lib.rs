//! The driver of tooz for Redis and Valkey. This is its page, `README.md`.
//!
// The package tooz-docs compiles the code blocks of the page.
#![cfg_attr(not(doctest), doc = include_str!("../README.md"))]

mod client;
mod config;
mod driver;
mod error;
mod history;
mod layout;
mod notify;
mod roster;
mod session;
mod shard_session;
mod shared_client;
mod topics;

pub use self::driver::DRIVER;

tooz_core::inventory::submit! { DRIVER }
