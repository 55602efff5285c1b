//! The text files of the workspace and its packages, read once for all rules.

use std::fs;
use std::path::Path;

use super::source::Source;
use crate::run::Outcome;

const EXTENSIONS: [&str; 5] = ["rs", "lua", "sql", "md", "toml"];
/// How a line begins that registers a driver.
const SUBMIT: [&str; 2] = ["inventory::submit!", "tooz_core::inventory::submit!"];

/// All text files of the workspace.
pub(super) struct Tree {
    /// Sorted by path.
    pub(super) files: Vec<File>,
}

/// One text file.
pub(super) struct File {
    /// Relative to the workspace, with `/` between the components.
    pub(super) path: String,
    pub(super) text: String,
    /// The syntax tree of a Rust file; an error if it cannot be parsed; `None` for any other file.
    pub(super) source: Option<syn::Result<Source>>,
}

impl Tree {
    /// Reads a workspace. Skips build output and hidden directories.
    pub(super) fn read(root: &Path) -> Outcome<Self> {
        let mut paths = Vec::new();
        collect(root, "", &mut paths)?;
        let read = |path: String| fs::read_to_string(root.join(&path)).map(|text| File::new(path, text));
        let mut files = paths.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        files.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(Self { files })
    }

    /// A tree of these paths and texts.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        Self { files: files.iter().map(|(path, text)| File::new((*path).to_owned(), (*text).to_owned())).collect() }
    }

    /// The text of the file at `path`, if there is one.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|file| file.path == path).map(|file| file.text.as_str())
    }

    /// The directories of the workspace's packages, from `members` in the root's Cargo.toml.
    pub(super) fn packages(&self) -> Vec<&str> {
        let manifest = self.text("Cargo.toml").unwrap_or_default();
        let members = manifest.split_once("\nmembers = [").and_then(|(_, rest)| rest.split_once(']'));
        let members = members.map_or("", |(members, _)| members);
        members.split('"').skip(1).step_by(2).collect()
    }

    /// The packages that depend on tooz-core and register a driver.
    pub(super) fn drivers(&self) -> Vec<&str> {
        let is_submit = |line: &str| SUBMIT.iter().any(|submit| line.starts_with(submit));
        let is_driver = |package: &&str| {
            let manifest = self.text(&format!("{package}/Cargo.toml")).unwrap_or_default();
            let folder = format!("{package}/src/");
            let mut files = self.files.iter().filter(|file| file.path.starts_with(&folder));
            manifest.contains("\ntooz-core") && files.any(|file| file.text.lines().any(is_submit))
        };
        self.packages().into_iter().filter(is_driver).collect()
    }

    /// The Rust files that could be parsed.
    pub(super) fn sources(&self) -> impl Iterator<Item = (&File, &Source)> {
        self.files.iter().filter_map(|file| match &file.source {
            Some(Ok(source)) => Some((file, source)),
            _ => None,
        })
    }
}

impl File {
    fn new(path: String, text: String) -> Self {
        let source = path.ends_with(".rs").then(|| Source::parse(&text));
        Self { path, text, source }
    }

    /// The name of the file, without its directories.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    pub(super) fn has_extension(&self, extension: &str) -> bool {
        self.path.rsplit_once('.').is_some_and(|(_, end)| end == extension)
    }
}

/// Appends the paths of the text files below `directory` of `root`.
fn collect(root: &Path, directory: &str, paths: &mut Vec<String>) -> Outcome {
    for entry in fs::read_dir(root.join(directory))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if directory.is_empty() { name.clone() } else { format!("{directory}/{name}") };
        if entry.file_type()?.is_dir() {
            if name != "target" && !name.starts_with('.') {
                collect(root, &path, paths)?;
            }
        } else if path.rsplit_once('.').is_some_and(|(_, extension)| EXTENSIONS.contains(&extension)) {
            paths.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_are_found_from_the_workspace() {
        let tree = Tree::of(&[
            ("Cargo.toml", "[workspace]\nmembers = [\n    \"tooz-core\",\n    \"tooz-x\",\n]\n"),
            ("tooz-core/Cargo.toml", "[package]\nname = \"tooz-core\"\n"),
            ("tooz-core/src/memory.rs", "//! The reference.\ninventory::submit! { DRIVER }\n"),
            ("tooz-x/Cargo.toml", "[dependencies]\ntooz-core.workspace = true\n"),
            ("tooz-x/src/driver.rs", "//! X.\n\ntooz_core::inventory::submit! { DRIVER }\n"),
        ]);
        assert_eq!(tree.packages(), ["tooz-core", "tooz-x"]);
        assert_eq!(tree.drivers(), ["tooz-x"]);
    }
}
