//! Verifies a change with one command.

use std::path::Path;
use std::process::Command;
use std::thread;

use crate::backends::{BACKENDS, set_up, set_up_valkey};
use crate::run::{Outcome, cargo, is_installed, read, run};
use crate::{publish, test, tidy};

/// The other systems on which programs of users run, as `rustup target add` names them.
const OTHER_SYSTEMS: [&str; 2] = ["x86_64-pc-windows-gnu", "x86_64-apple-darwin"];
/// The features that need no C compiler of the other system.
const FEATURES_WITHOUT_C: &str = "blocking,etcd,postgres,redis,signal,zookeeper";

/// Format, tidy, lints, docs, other systems, packages, licences, test; stops at the first failure. Fetches the servers while the compiler works.
pub(crate) fn ci() -> Outcome {
    run(&mut cargo(&["fmt", "--all", "--check"])?)?;
    tidy::tidy()?;
    thread::scope(|scope| {
        // A failure here is ignored: the tests set the servers up again and report it.
        scope.spawn(|| (set_up(&BACKENDS.iter().collect::<Vec<_>>()).is_ok(), set_up_valkey().is_ok()));
        run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"])?)?;
        run(cargo(&["doc", "--workspace", "--all-features", "--no-deps"])?.env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    OTHER_SYSTEMS.into_iter().try_for_each(other_system)?;
    publish::package()?;
    licences()?;
    test::test(&test::Options::default())
}

/// Compiles the crate of the users for another system, as far as that needs no linker, if its standard library is installed.
fn other_system(target: &str) -> Outcome {
    let library = read(Command::new("rustc").args(["--print", "target-libdir", "--target", target]))?;
    if !Path::new(library.trim()).is_dir() {
        println!("xtask: NOT CHECKED: {target}; `rustup target add {target}` adds the check");
        return Ok(());
    }
    let args =
        ["check", "--target", target, "--package", "tooz", "--no-default-features", "--features", FEATURES_WITHOUT_C];
    run(&mut cargo(&args)?)
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
