//! The driver under Sentinel, with one master, two replicas and three sentinels, against the suite.

use std::process::ExitCode;

use tooz_conformance::{Harness, servers};
use tooz_redis::DRIVER;

/// As docs/drivers/redis.md says under what it cannot guarantee.
const LOSS: &str = "Redis replicates asynchronously: a failover forgets what was confirmed but not yet copied";

fn main() -> ExitCode {
    let url =
        |hosts: &[String]| format!("redis-sentinel://{}?sentinel={}", hosts.join(","), servers::redis::MASTER_NAME);
    let harness = Harness::new("redis-sentinel", DRIVER, servers::redis::sentinel(), url)
        .ignore("history::topic_while_servers_fail", LOSS)
        .ignore("history::group_while_servers_fail", LOSS);
    tooz_conformance::main(harness)
}
