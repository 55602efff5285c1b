//! Every package states what it is and takes licence, Rust version and lints from the workspace. A package that is published
//! also has what crates.io and docs.rs show, and a README whose links work there.

use super::tree::Tree;

const FIELDS: [&str; 4] =
    ["description = ", "license.workspace = true", "rust-version.workspace = true", "[lints]\nworkspace = true"];
const PUBLISHED_FIELDS: [&str; 4] =
    ["repository.workspace = true", "keywords = ", "categories", "[package.metadata.docs.rs]\nall-features = true"];

pub(super) fn complaints(tree: &Tree) -> Vec<String> {
    let mut complaints = Vec::new();
    for package in tree.packages() {
        let manifest = format!("{package}/Cargo.toml");
        let text = tree.text(&manifest).unwrap_or_default();
        let is_published = !text.contains("\npublish = false");
        let published_fields = PUBLISHED_FIELDS.iter().filter(|_| is_published);
        let missing = FIELDS.iter().chain(published_fields).filter(|field| !text.contains(**field));
        complaints.extend(missing.map(|field| format!("{manifest} lacks `{}`", field.replace('\n', " "))));
        if is_published {
            complaints.extend(readme_complaints(tree, package));
        }
    }
    complaints
}

/// A published package has a README. crates.io and docs.rs know no path of this repository.
fn readme_complaints(tree: &Tree, package: &str) -> Vec<String> {
    let readme = format!("{package}/README.md");
    let Some(text) = tree.text(&readme) else { return vec![format!("{readme} is missing")] };
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let relative = targets.filter(|target| !target.starts_with("https://") && !target.starts_with('#'));
    relative.map(|target| format!("{readme} links {target}, which does not exist on crates.io")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: (&str, &str) = ("Cargo.toml", "[workspace]\nmembers = [\"x\"]");

    #[test]
    fn a_package_without_a_licence_is_named() {
        let manifest = format!("publish = false\n{}", FIELDS.join("\n").replace("license.workspace = true\n", ""));
        let tree = Tree::of(&[ROOT, ("x/Cargo.toml", &format!("\n{manifest}"))]);
        assert_eq!(complaints(&tree), ["x/Cargo.toml lacks `license.workspace = true`"]);
    }

    #[test]
    fn a_relative_link_of_a_published_readme_is_named() {
        let manifest = [FIELDS, PUBLISHED_FIELDS].concat().join("\n");
        let readme = "[a](#a), [b](https://docs.rs/b) and [c](../docs/c.md)";
        let tree = Tree::of(&[ROOT, ("x/Cargo.toml", &manifest), ("x/README.md", readme)]);
        assert_eq!(complaints(&tree), ["x/README.md links ../docs/c.md, which does not exist on crates.io"]);
    }
}
