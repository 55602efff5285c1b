//! The driver of tooz for PostgreSQL. This is its page, `README.md`.
//!
// The package tooz-docs compiles the code blocks of the page.
#![cfg_attr(not(doctest), doc = include_str!("../README.md"))]

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
