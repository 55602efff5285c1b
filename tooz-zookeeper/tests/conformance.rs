//! The suite against one ZooKeeper server. `tests/tls.rs` does the same over TLS, with the other client crate.

use std::process::ExitCode;

use tooz_conformance::{Harness, servers::zookeeper};

fn main() -> ExitCode {
    let url = |hosts: &[String]| format!("zookeeper://{}", hosts.join(","));
    let harness = Harness::new("zookeeper", tooz_zookeeper::DRIVER, zookeeper::single(), url);
    tooz_conformance::main(harness.with_scale_trials_by_listings())
}
