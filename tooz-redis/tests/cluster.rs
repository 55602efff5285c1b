//! The driver on a Cluster of three masters, against the suite.

use std::process::ExitCode;

use tooz_conformance::{Harness, servers};
use tooz_redis::DRIVER;

fn main() -> ExitCode {
    let url = |hosts: &[String]| format!("redis-cluster://{}", hosts.join(","));
    tooz_conformance::main(Harness::new("redis-cluster", DRIVER, servers::redis::cluster(), url))
}
