//! Every rule of the driver contract has a number, and the trials that check it name the number.

use std::collections::BTreeSet;

use super::tree::Tree;

const CONTRACT: &str = "tooz-core/src/driver/";
const TRIALS: &str = "tooz-conformance/src/trials/";

pub(super) fn complaints(tree: &Tree) -> Vec<String> {
    let (stated, checked) = (numbers(tree, CONTRACT), numbers(tree, TRIALS));
    let unchecked = stated.difference(&checked).map(|rule| format!("rule {rule} of {CONTRACT} is named by no trial"));
    let unknown =
        checked.difference(&stated).map(|rule| format!("a trial names the rule {rule}, which {CONTRACT} lacks"));
    unchecked.chain(unknown).collect()
}

/// The words that consist of an R and digits, in the Rust files of a folder.
fn numbers(tree: &Tree, folder: &str) -> BTreeSet<String> {
    let files = tree.files.iter().filter(|file| file.path.starts_with(folder) && file.has_extension("rs"));
    let words = files.flat_map(|file| file.text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
    let is_number = |word: &&str| {
        word.strip_prefix('R').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    words.filter(is_number).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_and_trials_that_do_not_fit_are_named() {
        let contract = ("tooz-core/src/driver/session.rs", "/// **R1 Atomicity.** R2: the rest of BR3.");
        let tree = Tree::of(&[contract, ("tooz-conformance/src/trials/driver/x.rs", "R2: a; R4: b;")]);
        assert_eq!(
            complaints(&tree),
            [
                "rule R1 of tooz-core/src/driver/ is named by no trial",
                "a trial names the rule R4, which tooz-core/src/driver/ lacks"
            ]
        );
    }
}
