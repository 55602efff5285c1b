//! Names and prose use the field's standard terms, so that a reader needs no glossary.
//!
//! Words are compared without regard to case, in identifiers too: `BellRinger` and `bell_ringer` have the words "bell"
//! and "ringer". A phrase may continue on the next line.

use super::tree::{File, Tree};

/// This file has to name the words.
const THIS_FILE: &str = "xtask/src/tidy/words.rs";
const EXTENSIONS: [&str; 4] = ["rs", "lua", "sql", "md"];

/// Words that are not used, each group with the term to use.
const WORDS: [(&[&str], &str); 21] = [
    (&["bell", "bells"], "wake-up"),
    (&["ward", "wards"], "watched process"),
    (&["guest", "guests"], "watcher"),
    (&["poke", "pokes", "poked", "poking"], "notification, notify"),
    (&["station", "stations"], "worker"),
    (&["sentry", "sentries"], "removal watch"),
    (&["bury", "buries", "buried", "burial", "burials"], "reap, remove the entries of expired sessions"),
    (&["heed", "heeds", "heeded"], "observe"),
    (&["lone"], "sole"),
    (&["forsake", "forsakes", "forsaken", "forsook"], "abandon"),
    (&["outbox"], "publisher"),
    (&["obey", "obeys", "obeyed"], "handle"),
    (&["crowd"], "count"),
    (&["newcomer", "newcomers"], "new entry"),
    (&["unheard"], "cancelled"),
    (&["whoever", "whomever"], "a client that"),
    (&["nobody"], "no client, no process"),
    (&["somebody"], "another client, another process"),
    (&["stand in line", "stands in line", "stood in line", "standing in line"], "wait in the queue"),
    (&["in line behind", "next in line", "everybody in line", "first in line"], "in the queue"),
    (&["is told", "are told", "was told", "were told", "be told", "being told"], "is notified, is reported"),
];

pub(super) fn complaints(tree: &Tree) -> Vec<String> {
    let has_words = |file: &&File| EXTENSIONS.iter().any(|extension| file.has_extension(extension));
    let files = tree.files.iter().filter(has_words).filter(|file| file.path != THIS_FILE);
    files.flat_map(about).collect()
}

fn about(file: &File) -> Vec<String> {
    let in_path = words(&file.path).into_iter().map(|(word, _)| (word, 0));
    let words: Vec<_> = in_path.chain(words(&file.text)).collect();
    let mut complaints = Vec::new();
    for (index, (first, line)) in words.iter().enumerate() {
        let Some((phrase, term)) = WORDS.iter().find_map(|(phrases, term)| {
            let phrase =
                phrases.iter().find(|phrase| phrase.starts_with(first.as_str()) && begins(&words[index..], phrase));
            phrase.map(|phrase| (phrase, term))
        }) else {
            continue;
        };
        let place = if *line == 0 { file.path.clone() } else { format!("{}:{line}", file.path) };
        complaints.push(format!("{place} says \"{phrase}\"; write \"{term}\""));
    }
    complaints
}

/// Whether the words begin with those of the phrase.
fn begins(words: &[(String, usize)], phrase: &str) -> bool {
    let mut words = words.iter().map(|(word, _)| word.as_str());
    phrase.split(' ').all(|expected| words.next() == Some(expected))
}

/// The words of a text in lowercase, each with its line. `camelCase` and `snake_case` are split.
fn words(text: &str) -> Vec<(String, usize)> {
    let mut words: Vec<(String, usize)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut previous = ' ';
        for c in line.chars() {
            let continues = previous.is_alphabetic() && !(previous.is_lowercase() && c.is_uppercase());
            match words.last_mut() {
                _ if !c.is_alphabetic() => {}
                Some((word, _)) if continues => word.extend(c.to_lowercase()),
                _ => words.push((c.to_lowercase().collect(), index + 1)),
            }
            previous = c;
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_in_prose_names_and_paths() {
        let text = "//! A.\nstruct LockBells;\nfn find_guest() {} // Whoever stands in\n// line.\n";
        let expected = [
            "x/src/station.rs says \"station\"; write \"worker\"",
            "x/src/station.rs:2 says \"bells\"; write \"wake-up\"",
            "x/src/station.rs:3 says \"guest\"; write \"watcher\"",
            "x/src/station.rs:3 says \"whoever\"; write \"a client that\"",
            "x/src/station.rs:3 says \"stands in line\"; write \"wait in the queue\"",
        ];
        assert_eq!(complaints(&Tree::of(&[("x/src/station.rs", text)])), expected);
    }

    #[test]
    fn other_words_may_contain_it() {
        let text = "Forward a clone afterwards; standalone stations are BELLOWED at.".replace("stations", "stationary");
        assert_eq!(complaints(&Tree::of(&[("a.md", &text), ("Cargo.toml", "# bell")])), [""; 0]);
    }
}
