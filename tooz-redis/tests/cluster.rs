//! The driver on a Cluster of three masters, which keep their data over a crash, with a shard on each, against the suite.

use std::process::ExitCode;

use tooz_conformance::{Harness, servers};
use tooz_redis::DRIVER;

fn main() -> ExitCode {
    let url = |hosts: &[String]| format!("redis-cluster://{}", hosts.join(","));
    let spec = servers::redis::cluster().args(["--appendonly", "yes", "--appendfsync", "always"]);
    tooz_conformance::main(Harness::new("redis-cluster", DRIVER, spec, url).option("shards", "3"))
}
