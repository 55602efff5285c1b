//! The suite against one ZooKeeper server. With the feature `tls`, `tests/tls.rs` does the same.

use std::process::ExitCode;

use tooz_conformance::{Harness, servers::zookeeper};

fn main() -> ExitCode {
    if cfg!(feature = "tls") {
        return ExitCode::SUCCESS;
    }
    tooz_conformance::main(Harness::new("zookeeper", tooz_zookeeper::DRIVER, zookeeper::single(), |hosts| {
        format!("zookeeper://{}", hosts.join(","))
    }))
}
