//! Links between Markdown files lead to files that exist, and every page of docs/ is in the book and compiled.

use super::tree::Tree;

/// The list of the pages of the book.
const SUMMARY: &str = "docs/SUMMARY.md";
/// What compiles the code blocks.
const PAGES: &str = "docs/lib.rs";

pub(super) fn complaints(tree: &Tree) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in tree.files.iter().filter(|file| file.has_extension("md")) {
        for target in targets(&file.text) {
            let path = target.split('#').next().unwrap_or_default();
            let is_text = path.rsplit_once('.').is_some_and(|(_, extension)| ["md", "rs", "toml"].contains(&extension));
            let path = resolve(&file.path, path);
            if is_text && tree.text(&path).is_none() {
                complaints.push(format!("{} links {target}, which does not exist", file.path));
            }
        }
    }
    complaints.extend(missing_pages(tree));
    complaints
}

fn missing_pages(tree: &Tree) -> Vec<String> {
    let (summary, pages) = (tree.text(SUMMARY).unwrap_or_default(), tree.text(PAGES).unwrap_or_default());
    let mut complaints = Vec::new();
    for file in tree.files.iter().filter(|file| file.has_extension("md") && file.path != SUMMARY) {
        let Some(page) = file.path.strip_prefix("docs/") else { continue };
        if !summary.contains(&format!("({page})")) {
            complaints.push(format!("{} is not in {SUMMARY}", file.path));
        }
        if file.text.contains("```rust") && !pages.contains(&format!("\"{page}\"")) {
            complaints.push(format!("{} has code blocks but is not in {PAGES}", file.path));
        }
    }
    complaints
}

/// The relative targets of the links of a page.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://") && !target.contains(' '))
}

/// The path that `target` means in the file at `from`.
fn resolve(from: &str, target: &str) -> String {
    let mut parts: Vec<_> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_nothing_and_a_page_outside_of_the_book_are_named() {
        let tree = Tree::of(&[
            ("README.md", "[a](docs/a.md#x) [b](docs/b.md) [web](https://x.md)"),
            ("docs/SUMMARY.md", "[a](a.md)"),
            ("docs/a.md", "[back](../README.md)"),
            ("docs/c.md", "```rust\n```"),
        ]);
        let expected = [
            "README.md links docs/b.md, which does not exist",
            "docs/c.md is not in docs/SUMMARY.md",
            "docs/c.md has code blocks but is not in docs/lib.rs",
        ];
        assert_eq!(complaints(&tree), expected);
    }
}
