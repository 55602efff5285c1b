//! Every driver crate has the same files with the same names, and a `mod.rs` under `src/` only declares and re-exports.
//!
//! A `mod.rs` under `tests/` may contain more: a helper that several test programs share has to be `tests/<name>/mod.rs`.

use syn::Item;

use super::tree::Tree;

/// The files that every driver has under `src/`.
const FILES: [&str; 13] = [
    "lib.rs",
    "config.rs",
    "driver.rs",
    "session.rs",
    "error.rs",
    "layout.rs",
    "topics.rs",
    "roster/enter.rs",
    "roster/leave.rs",
    "roster/wait.rs",
    "roster/snapshot.rs",
    "roster/declare.rs",
    "roster/replace.rs",
];
/// A driver has at least one of these folders, for the code that depends on the client crate or the database.
const CLIENTS: [&str; 2] = ["client/", "db/"];

pub(super) fn complaints(tree: &Tree) -> Vec<String> {
    let mut complaints = Vec::new();
    for driver in tree.drivers() {
        let has = |path: &str| tree.files.iter().any(|file| file.path.starts_with(&format!("{driver}/src/{path}")));
        let missing = FILES.iter().filter(|file| !has(file));
        complaints.extend(missing.map(|file| format!("{driver}/src/{file} is missing; every driver has this file")));
        if !CLIENTS.iter().any(|folder| has(folder)) {
            complaints.push(format!(
                "{driver}/src has neither client/ nor db/ for the code that depends on the client crate"
            ));
        }
    }
    let is_checked = |path: &str| path.contains("/src/") && path.ends_with("/mod.rs");
    for (file, source) in tree.sources().filter(|(file, _)| is_checked(&file.path)) {
        let is_logic = |item: &&Item| match item {
            Item::Mod(module) => module.content.is_some(),
            Item::Use(_) => false,
            _ => true,
        };
        if source.file.items.iter().any(|item| is_logic(&item)) {
            complaints.push(format!("{} has logic; only `mod`, `use`, docs and attributes belong there", file.path));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIB: &str = "//! X.\ntooz_core::inventory::submit! { DRIVER }";
    const ROOT: (&str, &str) = ("Cargo.toml", "[workspace]\nmembers = [\"x\"]");
    const MANIFEST: (&str, &str) = ("x/Cargo.toml", "[dependencies]\ntooz-core.workspace = true");

    #[test]
    fn a_driver_that_lacks_a_file_is_named() {
        let mut files = vec![ROOT, MANIFEST];
        let paths: Vec<_> = FILES.iter().map(|file| format!("x/src/{file}")).collect();
        files.extend(paths.iter().map(|path| (path.as_str(), if path.ends_with("lib.rs") { LIB } else { "//! X." })));
        files.push(("x/src/client/mod.rs", "//! X."));
        assert_eq!(complaints(&Tree::of(&files)), [""; 0]);
        files.retain(|(path, _)| !path.ends_with("leave.rs") && !path.contains("client"));
        let complaints = complaints(&Tree::of(&files));
        assert!(complaints[0].starts_with("x/src/roster/leave.rs is missing"), "{complaints:?}");
        assert!(complaints[1].starts_with("x/src has neither client/ nor db/"), "{complaints:?}");
    }

    #[test]
    fn logic_in_mod_rs_is_named() {
        let good = ("x/src/a/mod.rs", "//! A.\n#[cfg(test)]\nmod tests;\nmod b;\npub use self::b::B;");
        let bad = ("x/src/b/mod.rs", "//! B.\nmod c;\nconst N: u8 = 1;");
        let complaints = complaints(&Tree::of(&[good, bad]));
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert!(complaints[0].starts_with("x/src/b/mod.rs has logic"));
    }
}
