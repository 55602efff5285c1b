//! The suite against one ZooKeeper server. `tests/tls.rs` does the same over TLS, with the other client crate.

use std::process::ExitCode;

use tooz_conformance::{Harness, servers::zookeeper};

fn main() -> ExitCode {
    tooz_conformance::main(Harness::new("zookeeper", tooz_zookeeper::DRIVER, zookeeper::single(), |hosts| {
        format!("zookeeper://{}", hosts.join(","))
    }))
}
