//! The behaviour suite on one etcd member.

use std::process::ExitCode;

use tooz_conformance::Harness;
use tooz_conformance::servers::etcd;

fn main() -> ExitCode {
    let url = |addresses: &[String]| format!("etcd://{}", addresses.join(","));
    tooz_conformance::main(Harness::new("etcd", tooz_etcd::DRIVER, etcd::single(), url))
}
