//! The driver under Sentinel, with one master, two replicas and three sentinels, against the suite.

use std::process::ExitCode;

use tooz_conformance::{Harness, servers};
use tooz_redis::DRIVER;

fn main() -> ExitCode {
    let url =
        |hosts: &[String]| format!("redis-sentinel://{}?sentinel={}", hosts.join(","), servers::redis::MASTER_NAME);
    tooz_conformance::main(Harness::new("redis-sentinel", DRIVER, servers::redis::sentinel(), url))
}
