//! Verifies a change with one command.

use std::thread;

use crate::backends::{BACKENDS, set_up, set_up_valkey};
use crate::run::{Outcome, cargo, is_installed, run};
use crate::{publish, test, tidy};

/// Format, tidy, lints, docs, packages, licences, test; stops at the first failure. Fetches the servers while the compiler works.
pub(crate) fn ci() -> Outcome {
    run(&mut cargo(&["fmt", "--all", "--check"])?)?;
    tidy::tidy()?;
    thread::scope(|scope| {
        // A failure here is ignored: the tests set the servers up again and report it.
        scope.spawn(|| (set_up(&BACKENDS.iter().collect::<Vec<_>>()).is_ok(), set_up_valkey().is_ok()));
        run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"])?)?;
        run(cargo(&["doc", "--workspace", "--all-features", "--no-deps"])?.env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    publish::package()?;
    licences()?;
    test::test(&test::Options::default())
}

/// Checks the dependencies by the rules of `deny.toml`, if cargo-deny is installed; building it would take longer than the
/// tests. Leaves out the database of advisories, which does not depend on the change.
fn licences() -> Outcome {
    if !is_installed("cargo-deny") {
        println!("xtask: NOT CHECKED: licences and sources of dependencies; `cargo install cargo-deny` adds the check");
        return Ok(());
    }
    run(&mut cargo(&["deny", "--workspace", "check", "bans", "licenses", "sources"])?)
}
