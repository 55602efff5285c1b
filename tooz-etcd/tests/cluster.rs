//! The behaviour suite on a cluster of three members, any of which may fail.

mod etcd_specific;

use std::process::ExitCode;
use std::time::Duration;

use etcd_specific::members;
use tooz_conformance::servers::etcd;
use tooz_conformance::{Harness, Needs};

const LONG: Needs = Needs::OWN_SERVER.within(Duration::from_secs(150));

fn main() -> ExitCode {
    let url = |addresses: &[String]| format!("etcd://{}", addresses.join(","));
    let harness = Harness::new("etcd-cluster", tooz_etcd::DRIVER, etcd::three(), url)
        .trial("etcd::any_member_may_be_killed", LONG, members::any_member_may_be_killed)
        .trial("etcd::any_member_may_freeze", LONG, members::any_member_may_freeze);
    tooz_conformance::main(harness)
}
