//! The program end to end, against etcd.

mod support;
mod trials;

fn main() -> std::process::ExitCode {
    support::main(support::Server::Deployment(tooz_conformance::servers::etcd::single(), "etcd://", ""))
}
