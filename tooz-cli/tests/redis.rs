//! The program end to end, against Redis.

mod support;
mod trials;

fn main() -> std::process::ExitCode {
    support::main(support::Server::Deployment(tooz_conformance::servers::redis::persistent(), "redis://", ""))
}
