//! Every package states what it is and takes licence, Rust version and lints from the workspace.

use super::tree::Tree;

const FIELDS: [&str; 4] =
    ["description = ", "license.workspace = true", "rust-version.workspace = true", "[lints]\nworkspace = true"];

pub(super) fn complaints(tree: &Tree) -> Vec<String> {
    let mut complaints = Vec::new();
    for package in tree.packages() {
        let manifest = format!("{package}/Cargo.toml");
        let text = tree.text(&manifest).unwrap_or_default();
        let missing = FIELDS.iter().filter(|field| !text.contains(**field));
        complaints.extend(missing.map(|field| format!("{manifest} lacks `{}`", field.replace('\n', " "))));
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_without_a_licence_is_named() {
        let manifest = FIELDS.join("\n").replace("license.workspace = true\n", "");
        let tree = Tree::of(&[("Cargo.toml", "[workspace]\nmembers = [\"x\"]"), ("x/Cargo.toml", &manifest)]);
        assert_eq!(complaints(&tree), ["x/Cargo.toml lacks `license.workspace = true`"]);
    }
}
