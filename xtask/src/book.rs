//! Builds the book of docs/ with mdBook.

use crate::run::{Outcome, cargo, is_installed, root, run};

/// The features of mdBook that a build needs. Its server and its file watcher double its dependencies.
const INSTALL: [&str; 7] = ["install", "mdbook", "--locked", "--no-default-features", "--features", "search", "--root"];

/// Writes the book to `target/book`. Installs mdBook into `target/tools` if it is not on the PATH, which takes minutes once.
pub(crate) fn book() -> Outcome {
    let tools = root().join("target").join("tools");
    let own = tools.join("bin").join("mdbook").display().to_string();
    let program = if is_installed("mdbook") { "mdbook" } else { &own };
    if !is_installed(program) {
        run(&mut cargo(&[&INSTALL[..], &[&tools.display().to_string()]].concat())?)?;
    }
    run(std::process::Command::new(program).args(["build", "docs"]).current_dir(root()))
}
