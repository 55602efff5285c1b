//! Every Rust file can be parsed, says at its head what it is for, and contains no mark of unfinished work.

use super::tree::Tree;

/// Marks of unfinished work; joined here so that this file does not contain them.
const LEFTOVERS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];

pub(super) fn complaints(tree: &Tree) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in tree.files.iter().filter(|file| file.has_extension("rs")) {
        if let Some(Err(error)) = &file.source {
            complaints.push(format!("{}:{} cannot be parsed: {error}", file.path, error.span().start().line));
        }
        if !file.text.starts_with("//! ") {
            complaints.push(format!("{} does not begin with `//!` and what it is for", file.path));
        }
        for leftover in LEFTOVERS.iter().filter(|leftover| file.text.contains(**leftover)) {
            complaints.push(format!("{} has a {leftover}", file.path));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_head_and_a_leftover_are_named() {
        let leftover = format!("//! B.\n// {}\n", LEFTOVERS[0]);
        let complaints =
            complaints(&Tree::of(&[("a.rs", "fn main() {}\n"), ("b.rs", &leftover), ("c.rs", "//! C.\nfn")]));
        assert_eq!(complaints.len(), 3, "{complaints:?}");
        assert!(complaints[0].starts_with("a.rs does not begin"));
        assert!(complaints[1].starts_with("b.rs has a "));
        assert!(complaints[2].starts_with("c.rs:"));
    }
}
