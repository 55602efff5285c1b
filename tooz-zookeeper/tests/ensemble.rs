//! Three ZooKeeper servers, against the suite.

use std::process::ExitCode;

use tooz_conformance::{Harness, servers::zookeeper};

fn main() -> ExitCode {
    tooz_conformance::main(Harness::new("zookeeper-ensemble", tooz_zookeeper::DRIVER, zookeeper::ensemble(), |hosts| {
        format!("zookeeper://{}", hosts.join(","))
    }))
}
