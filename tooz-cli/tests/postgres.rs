//! The program end to end, against PostgreSQL.

mod support;
mod trials;

fn main() -> std::process::ExitCode {
    let spec = tooz_conformance::servers::postgres::single();
    support::main(support::Server::Deployment(spec, "postgres://postgres@", "/postgres"))
}
