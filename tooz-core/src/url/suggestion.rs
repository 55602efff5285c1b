//! "Did you mean": the known word that is nearest to a mistyped one, by Levenshtein's edit distance.

/// How many characters a typing mistake may insert, remove or replace.
const GREATEST_DISTANCE: usize = 2;

/// The text ` (did you mean "…"?)` if a candidate is near to `word`, else an empty text.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let distances = candidates.into_iter().map(|candidate| (distance(word, candidate), candidate));
    // A short word is near to everything; at least half of it must be right.
    let near = distances.filter(|(distance, _)| *distance <= GREATEST_DISTANCE && distance * 2 < word.len());
    near.min().map_or_else(String::new, |(_, candidate)| format!(" (did you mean \"{candidate}\"?)"))
}

fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (above, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], above + 1);
        for (column, to) in b.chars().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[row.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_word_finds_the_nearest_one() {
        let known = ["timeout", "ttl", "heartbeat"];
        assert_eq!(did_you_mean("tiemout", known), " (did you mean \"timeout\"?)");
        assert_eq!(did_you_mean("hartbeat", known), " (did you mean \"heartbeat\"?)");
        assert_eq!(did_you_mean("x", known), "");
        assert_eq!(did_you_mean("password", known), "");
        assert_eq!((distance("", "abc"), distance("kitten", "sitting")), (3, 3));
    }
}
