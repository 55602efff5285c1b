//! The driver on a single Redis server, which keeps its data over a crash, against the suite.

use std::process::ExitCode;

use tooz_conformance::{Harness, servers};
use tooz_redis::DRIVER;

fn main() -> ExitCode {
    let url = |hosts: &[String]| format!("redis://{}", hosts[0]);
    let harness = Harness::new("redis", DRIVER, servers::redis::persistent(), url);
    tooz_conformance::main(harness.with_scale_trials())
}
