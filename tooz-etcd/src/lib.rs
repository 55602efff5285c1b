//! The driver of tooz for etcd. This is its page, `README.md`.
//!
// The package tooz-docs compiles the code blocks of the page.
#![cfg_attr(not(doctest), doc = include_str!("../README.md"))]

mod blockers;
mod client;
mod config;
mod driver;
mod error;
mod fence;
mod key_pool;
mod layout;
mod losses;
mod roster;
mod session;
mod topic_state;
mod topics;

pub use self::driver::DRIVER;
