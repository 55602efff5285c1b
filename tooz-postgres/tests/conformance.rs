//! The driver on one PostgreSQL server, which keeps its data over a crash, against the suite.

use std::process::ExitCode;

use tooz_conformance::{Harness, servers};
use tooz_postgres::DRIVER;

fn main() -> ExitCode {
    let url = |hosts: &[String]| format!("postgres://postgres@{}/postgres", hosts[0]);
    tooz_conformance::main(Harness::new("postgres", DRIVER, servers::postgres::single(), url))
}
