//! What the end-to-end tests share: a backend with its server, the program `tooz`, and commands that record when they ran.
#![allow(dead_code, clippy::unwrap_used, reason = "tests, of which each program uses a part")]

pub(crate) mod beat;
pub(crate) mod harness;
pub(crate) mod program;
pub(crate) mod terminal;

pub(crate) use self::beat::Beats;
pub(crate) use self::harness::{Backend, Server, main};
pub(crate) use self::program::{Program, eventually};
