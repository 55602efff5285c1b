//! As much of the Redis protocol as a few requests need.

/// A request.
pub(super) fn command(words: &[&str]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", words.len());
    words.iter().for_each(|word| request += &format!("${}\r\n{word}\r\n", word.len()));
    request.into_bytes()
}

/// The texts of the next reply, and what follows it. `None` if the replies end.
pub(super) fn reply(text: &str) -> Option<(Result<Vec<String>, String>, &str)> {
    let (line, rest) = text.split_once("\r\n")?;
    let value = line.get(1..)?;
    match line.as_bytes().first()? {
        b'+' | b':' => Some((Ok(vec![value.to_owned()]), rest)),
        b'-' => Some((Err(value.to_owned()), rest)),
        b'$' => match value.parse::<usize>() {
            Ok(len) => Some((Ok(vec![rest.get(..len)?.to_owned()]), rest.get(len + 2..)?)),
            Err(_) => Some((Ok(Vec::new()), rest)),
        },
        b'*' => {
            let (mut texts, mut rest) = (Vec::new(), rest);
            for _ in 0..value.parse::<usize>().unwrap_or_default() {
                let (element, after) = reply(rest)?;
                texts.extend(element.ok()?);
                rest = after;
            }
            Some((Ok(texts), rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_follow_each_other() {
        let text = "+OK\r\n*2\r\n$1\r\na\r\n$3\r\nb\r\n\r\n-ERR no\r\n:7\r\n";
        let (first, rest) = reply(text).unwrap();
        assert_eq!(first.unwrap(), ["OK"]);
        let (second, rest) = reply(rest).unwrap();
        assert_eq!(second.unwrap(), ["a", "b\r\n"]);
        let (third, rest) = reply(rest).unwrap();
        assert_eq!(third.unwrap_err(), "ERR no");
        assert_eq!(reply(rest).unwrap().0.unwrap(), ["7"]);
        assert_eq!(reply("$5\r\nab"), None);
    }

    #[test]
    fn a_command_counts_its_words() {
        assert_eq!(command(&["GET", "k"]), b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
    }
}
