//! The driver of tooz for ZooKeeper. This is its page, `README.md`.
//!
// The package tooz-docs compiles the code blocks of the page.
#![cfg_attr(not(doctest), doc = include_str!("../README.md"))]

mod cleanup;
mod client;
mod config;
mod driver;
mod error;
mod history;
mod layout;
mod limits;
mod own_entries;
mod renewal;
mod roster;
mod session;
mod topics;

pub use self::driver::DRIVER;
