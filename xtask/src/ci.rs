//! Everything that must hold before a change lands.

use crate::run::{Outcome, cargo, run};
use crate::{test, tidy};

/// Format, lints, docs, tidy, test; stops at the first that fails.
pub(crate) fn ci() -> Outcome {
    run(&mut cargo(&["fmt", "--all", "--check"])?)?;
    tidy::tidy()?;
    run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?)?;
    run(cargo(&["doc", "--workspace", "--no-deps"])?.env("RUSTDOCFLAGS", "-D warnings"))?;
    test::test(&test::Options::default())
}
