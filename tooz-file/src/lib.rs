//! The driver of tooz for the processes of one host, without a server. This is its page, `README.md`.
//!
// The package tooz-docs compiles the code blocks of the page.
#![cfg_attr(not(doctest), doc = include_str!("../README.md"))]

#[cfg(not(target_os = "linux"))]
compile_error!(
    "tooz-file builds on Linux only, because it detects dead processes by Linux's pidfd; use another driver here"
);

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
