//! Verifies a change with one command.

use std::thread;

use crate::backends::{BACKENDS, set_up, set_up_valkey};
use crate::run::{Outcome, cargo, run};
use crate::{test, tidy};

/// Format, tidy, lints, docs, test; stops at the first failure. Fetches the servers while the compiler works.
pub(crate) fn ci() -> Outcome {
    run(&mut cargo(&["fmt", "--all", "--check"])?)?;
    tidy::tidy()?;
    thread::scope(|scope| {
        // A failure here is ignored: the tests set the servers up again and report it.
        scope.spawn(|| (set_up(&BACKENDS.iter().collect::<Vec<_>>()).is_ok(), set_up_valkey().is_ok()));
        run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"])?)?;
        run(cargo(&["doc", "--workspace", "--all-features", "--no-deps"])?.env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    test::test(&test::Options::default())
}
