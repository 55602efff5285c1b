//! The program end to end, against a directory.

mod support;
mod trials;

fn main() -> std::process::ExitCode {
    support::main(support::Server::Directory)
}
