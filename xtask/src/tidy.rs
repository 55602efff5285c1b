//! What no compiler checks: heads and lengths of files, docs that name every driver, licences, leftovers.

use std::fs;
use std::path::{Path, PathBuf};

use crate::backends::BACKENDS;
use crate::run::{Outcome, root};

/// Longer files are hard to keep in mind.
const LINES: usize = 350;
/// Files that may be longer, each with the reason.
const LONGER: [(&str, &str); 1] =
    [("tooz-redis/tests/scripts.rs", "a test or two for each Lua script, all on the same stage")];

/// Fails with a list of everything that is untidy.
pub(crate) fn tidy() -> Outcome {
    let mut complaints = Vec::new();
    let root = root();
    for path in sources(&root)? {
        complaints.extend(about_source(&root, &path)?);
    }
    complaints.extend(about_packages(&root)?);
    complaints.extend(about_docs(&root));
    if complaints.is_empty() {
        println!("xtask: the tree is tidy");
        return Ok(());
    }
    Err(format!("the tree is untidy:\n  {}", complaints.join("\n  ")).into())
}

/// All Rust files of the workspace.
fn sources(directory: &Path) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(sources(&path)?);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
    Ok(found)
}

fn about_source(root: &Path, path: &Path) -> Outcome<Vec<String>> {
    let text = fs::read_to_string(path)?;
    let name = path.strip_prefix(root)?.display().to_string();
    let mut complaints = Vec::new();
    if !text.starts_with("//! ") {
        complaints.push(format!("{name} does not begin with `//!` and what it is for"));
    }
    let lines = text.lines().count();
    if lines > LINES && !LONGER.iter().any(|(longer, _)| *longer == name) {
        complaints.push(format!("{name} has {lines} lines, more than {LINES}"));
    }
    for leftover in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")] {
        if text.contains(leftover) {
            complaints.push(format!("{name} has a {leftover}"));
        }
    }
    Ok(complaints)
}

fn about_packages(root: &Path) -> Outcome<Vec<String>> {
    let mut complaints = Vec::new();
    for entry in fs::read_dir(root)? {
        let manifest = entry?.path().join("Cargo.toml");
        let Ok(text) = fs::read_to_string(&manifest) else { continue };
        for field in
            ["description = ", "license.workspace = true", "rust-version.workspace = true", "[lints]\nworkspace = true"]
        {
            if !text.contains(field) {
                complaints.push(format!("{} lacks `{}`", manifest.display(), field.replace('\n', " ")));
            }
        }
    }
    Ok(complaints)
}

fn about_docs(root: &Path) -> Vec<String> {
    let readme = fs::read_to_string(root.join("README.md")).unwrap_or_default();
    let mut complaints = Vec::new();
    for backend in &BACKENDS {
        let page = format!("docs/drivers/{}.md", backend.name);
        if !readme.contains(&page) {
            complaints.push(format!("README.md does not link {page}"));
        }
        if !root.join(&page).is_file() {
            complaints.push(format!("{page} is missing"));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        tidy().unwrap();
    }

    #[test]
    fn a_file_without_a_head_is_untidy() {
        let directory = std::env::temp_dir().join(format!("tooz-tidy-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("a.rs");
        fs::write(&path, "fn main() {}\n").unwrap();
        let complaints = about_source(&directory, &path).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        assert!(complaints[0].starts_with("a.rs does not begin"), "{complaints:?}");
    }
}
