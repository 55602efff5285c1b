//! The behaviour suite on a cluster of three members.

use std::process::ExitCode;

use tooz_conformance::Harness;
use tooz_conformance::servers::etcd;

fn main() -> ExitCode {
    let url = |addresses: &[String]| format!("etcd://{}", addresses.join(","));
    tooz_conformance::main(Harness::new("etcd-cluster", tooz_etcd::DRIVER, etcd::three(), url))
}
