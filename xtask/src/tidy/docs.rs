//! The documentation names what exists: a page for each backend, linked from the README, and real trials.

use super::tree::Tree;
use crate::backends::BACKENDS;

pub(super) fn complaints(tree: &Tree) -> Vec<String> {
    let readme = tree.text("README.md").unwrap_or_default();
    let mut complaints = Vec::new();
    for backend in BACKENDS.iter() {
        let page = format!("docs/drivers/{}.md", backend.name);
        if !readme.contains(&page) {
            complaints.push(format!("README.md does not link {page}"));
        }
        if tree.text(&page).is_none() {
            complaints.push(format!("{page} is missing"));
        }
    }
    complaints.extend(unknown_trials(tree));
    complaints
}

/// Names in backticks that look like trials, such as `process::a_killed_holder_frees_its_lock`, but are in no Rust file.
fn unknown_trials(tree: &Tree) -> Vec<String> {
    let mut complaints = Vec::new();
    let names_trials = |path: &str| path == "docs/guarantees.md" || path.starts_with("docs/drivers/");
    for page in tree.files.iter().filter(|file| names_trials(&file.path) && file.has_extension("md")) {
        for name in page.text.split('`').skip(1).step_by(2) {
            let trial = name.rsplit("::").next().unwrap_or(name);
            let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
            // Options, fields and functions have fewer words than the name of a trial.
            if !is_name || trial.matches('_').count() < 3 {
                continue;
            }
            // Trials of one kind are named together: `{workload}_while_servers_fail`.
            let family = trial.find('_').map_or(trial, |end| &trial[end..]);
            let mut sources = tree.files.iter().filter(|file| file.has_extension("rs"));
            if !sources.any(|file| file.text.contains(trial) || file.text.contains(&format!("}}{family}"))) {
                complaints.push(format!("{} names the trial {name}, which does not exist", page.path));
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_missing_or_not_linked_is_named() {
        let complaints = complaints(&Tree::of(&[("README.md", "docs/drivers/memory.md")]));
        assert!(complaints.contains(&"docs/drivers/memory.md is missing".to_owned()), "{complaints:?}");
        assert!(complaints.contains(&"README.md does not link docs/drivers/file.md".to_owned()), "{complaints:?}");
    }

    #[test]
    fn a_trial_that_does_not_exist_is_named() {
        let page = "Shown by `lock::this_one_does_exist` and `lock::this_one_does_not`, with `min_in_sync`.";
        let tree = Tree::of(&[("docs/drivers/a.md", page), ("x/src/a.rs", "//! A.\nfn this_one_does_exist() {}")]);
        assert_eq!(
            unknown_trials(&tree),
            ["docs/drivers/a.md names the trial lock::this_one_does_not, which does not exist"]
        );
    }
}
