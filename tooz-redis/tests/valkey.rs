//! The driver on a single Valkey server, against the suite. Run by `cargo xtask test` where Valkey can be had, and by
//! `cargo test --package tooz-redis --test valkey`.

use std::process::ExitCode;

use tooz_conformance::{Harness, servers};
use tooz_redis::DRIVER;

fn main() -> ExitCode {
    let url = |hosts: &[String]| format!("valkey://{}", hosts[0]);
    tooz_conformance::main(Harness::new("valkey", DRIVER, servers::redis::valkey(), url))
}
