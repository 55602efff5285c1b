//! The driver of tooz for the processes of one host, without a server. This is its page, `README.md`.
//!
// The package tooz-docs compiles the code blocks of the page.
#![cfg_attr(not(doctest), doc = include_str!("../README.md"))]

#[cfg(not(target_os = "linux"))]
compile_error!(
    "tooz-file builds on Linux only, because it detects dead processes by Linux's pidfd; use another driver here"
);

// Elsewhere, the sentence above is the only error.
#[cfg(target_os = "linux")]
mod config;
#[cfg(target_os = "linux")]
mod db;
#[cfg(target_os = "linux")]
mod directory;
#[cfg(target_os = "linux")]
mod driver;
#[cfg(target_os = "linux")]
mod error;
#[cfg(target_os = "linux")]
mod file_system;
#[cfg(target_os = "linux")]
mod layout;
#[cfg(target_os = "linux")]
mod peers;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod roster;
#[cfg(target_os = "linux")]
mod session;
#[cfg(target_os = "linux")]
mod topics;

#[cfg(target_os = "linux")]
pub use self::driver::DRIVER;
