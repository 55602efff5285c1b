//! What the driver writes and reads as text or rows: notifications, entries, and lines of a password file.

use tooz_core::driver::{Entry, Mode, Nonce, Seq};
use tooz_core::{Error, ErrorKind, Name, Result};

use crate::client::Reply;

/// The kind of topics among the watched names.
pub(crate) const TOPIC: &str = "topic";

/// The kind and name under which new names are watched.
pub(crate) const NEW_NAMES: (&str, &str) = ("names", "new");

/// The name of a roster or a topic in notifications.
pub(crate) fn watched(kind: &str, name: &Name) -> String {
    let mut text = format!("{kind} ");
    name.as_bytes().iter().for_each(|byte| text.push_str(&format!("{byte:02x}")));
    text
}

/// The parameters of [`watched`].
pub(crate) fn parse_watched(text: &str) -> Option<(&str, Vec<u8>)> {
    let (kind, hex) = text.split_once(' ')?;
    let byte = |at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    Some((kind, (0..hex.len()).step_by(2).map(byte).collect::<Option<_>>()?))
}

pub(crate) fn nonce_of(bytes: &[u8]) -> Option<Nonce> {
    bytes.try_into().ok().map(|bytes| Nonce(u128::from_be_bytes(bytes)))
}

/// The entry in a row of `read_roster`; `None` in the row that has none.
pub(crate) fn entry_of(reply: &Reply, row: usize) -> Result<Option<Entry>> {
    let Some(seq) = reply.number(row, "seq")? else { return Ok(None) };
    let capacity: i64 = reply.get(row, "capacity")?;
    let mode: String = reply.get(row, "mode")?;
    let entry = || {
        Some(Entry {
            seq: Seq(seq),
            nonce: nonce_of(reply.get::<&[u8]>(row, "nonce").ok()?)?,
            key: reply.get(row, "key").ok()?,
            mode: Mode::parse(&mode)?,
            limit: u32::try_from(capacity).ok()?.try_into().ok()?,
            value: reply.get(row, "value").ok()?,
        })
    };
    entry().map(Some).ok_or_else(|| {
        Error::new(ErrorKind::Corrupt, "a row of the table \"entry\" cannot be read; remove it")
            .with_context("seq", seq)
    })
}

/// The password in a file of libpq's format for a host, port, database and user.
pub(crate) fn password_of(file: &str, of: [&str; 4]) -> Option<String> {
    let lines = file.lines().filter(|line| !line.starts_with('#'));
    lines.map(fields).find_map(|fields| {
        let (password, pattern) = fields.split_last()?;
        let fits = pattern.len() == 4 && pattern.iter().zip(of).all(|(field, value)| field == "*" || field == value);
        fits.then(|| password.clone())
    })
}

/// Splits a line at colons; a backslash takes the next character literally.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ':' if fields.len() < 5 => fields.push(String::new()),
            other => {
                let literal = if other == '\\' { characters.next().unwrap_or(other) } else { other };
                fields.last_mut().into_iter().for_each(|field| field.push(literal));
            }
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watched_name_is_parsed_as_it_was_written() {
        let name = Name::new([0, b' ', 0xff]).unwrap();
        assert_eq!(watched(TOPIC, &name), "topic 0020ff");
        assert_eq!(parse_watched("topic 0020ff"), Some((TOPIC, vec![0, b' ', 0xff])));
        assert_eq!(parse_watched("topic 0"), None);
    }

    #[test]
    fn a_password_file_has_wildcards_and_escapes() {
        let file = "# h:1:d:u:comment\nh:1:d:other:no\n*:1:d:u:a\\:b\\\\c:d\n";
        assert_eq!(password_of(file, ["h", "1", "d", "u"]).as_deref(), Some("a:b\\c:d"));
        assert_eq!(password_of(file, ["h", "2", "d", "u"]), None);
    }
}
