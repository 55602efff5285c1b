//! The program end to end, against ZooKeeper.

mod support;
mod trials;

fn main() -> std::process::ExitCode {
    support::main(support::Server::Deployment(tooz_conformance::servers::zookeeper::single(), "zookeeper://", ""))
}
