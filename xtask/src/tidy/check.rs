//! Runs every rule on the workspace and reports all complaints at once.

use super::tree::Tree;
use super::{circles, docs, folders, heads, lengths, links, packages, rules, words};
use crate::run::{Outcome, root};

/// A rule: what it finds wrong with the tree, one complaint a line.
type Rule = fn(&Tree) -> Vec<String>;

const RULES: [Rule; 9] = [
    packages::complaints,
    folders::complaints,
    heads::complaints,
    lengths::complaints,
    circles::complaints,
    docs::complaints,
    links::complaints,
    rules::complaints,
    words::complaints,
];

/// Fails with a list of all complaints.
pub(crate) fn tidy() -> Outcome {
    let tree = Tree::read(&root())?;
    let complaints: Vec<_> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    if complaints.is_empty() {
        println!("xtask: the tree is tidy");
        return Ok(());
    }
    Err(format!("the tree is untidy ({} complaints):\n  {}", complaints.len(), complaints.join("\n  ")).into())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_tree_is_tidy() {
        super::tidy().unwrap();
    }
}
