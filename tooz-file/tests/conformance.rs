//! The file driver against the suite.

use std::process::ExitCode;

use tooz_conformance::Harness;

fn main() -> ExitCode {
    let url = |directory: &std::path::Path| format!("file://{}", directory.display());
    tooz_conformance::main(Harness::in_directory("file", tooz_file::DRIVER, url))
}
