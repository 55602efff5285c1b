//! What the driver writes and reads as text or rows: notifications, changes of rosters, and lines of a password file.

use tooz_core::driver::{Change, Entry, Mode, NewName, Nonce, Seq};
use tooz_core::{Error, ErrorKind, Name};

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

/// A notification of a change: the name of the roster or topic, and the rest.
pub(crate) fn split_notification(text: &str) -> Option<(&str, &str)> {
    let (end, _) = text.match_indices(' ').nth(1)?;
    Some((&text[..end], &text[end + 1..]))
}

/// A nonce as a parameter.
pub(crate) fn nonce_bytes(nonce: Nonce) -> Vec<u8> {
    nonce.0.to_be_bytes().to_vec()
}

/// A seq as a parameter. None is greater than the greatest number of the server.
pub(crate) fn seq_number(seq: Seq) -> i64 {
    i64::try_from(seq.0).unwrap_or(i64::MAX)
}

pub(crate) fn nonce_of(bytes: &[u8]) -> Option<Nonce> {
    bytes.try_into().ok().map(|bytes| Nonce(u128::from_be_bytes(bytes)))
}

/// A change of a roster in one line, as the functions of the schema write it.
pub(crate) fn change_of(line: &str) -> Option<Change> {
    let seq_of = |text: &str| text.parse().ok().map(Seq);
    let words: Vec<_> = line.split(' ').collect();
    Some(match words[..] {
        ["entered", seq, nonce, mode, limit, key, value] => Change::Entered(Entry {
            seq: seq_of(seq)?,
            nonce: Nonce::parse(nonce)?,
            key: if key == "-" { None } else { Some(bytes_of(key)?) },
            mode: Mode::parse(mode)?,
            limit: limit.parse().ok()?,
            value: bytes_of(value)?,
        }),
        ["left", seq] => Change::Left(seq_of(seq)?),
        ["value", seq, value] => Change::Replaced { seq: seq_of(seq)?, value: bytes_of(value)? },
        ["declared"] => Change::Declared(true),
        ["retracted"] => Change::Declared(false),
        _ => return None,
    })
}

/// The name in a notification of a new one.
pub(crate) fn new_name(notification: &str) -> Option<NewName> {
    let mut words = notification.split(' ').skip(2);
    let (kind, name) = (words.next()?, bytes_of(words.next()?)?);
    Some(NewName::new(kind, Name::new(name).ok()?))
}

/// A row or a notification that [`change_of`] does not know.
pub(crate) fn unreadable() -> Error {
    Error::new(ErrorKind::Corrupt, "a row of the table \"entry\" cannot be read; remove it")
}

/// The bytes that the server has written as hexadecimal digits.
fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = hex.as_bytes().chunks(2).map(|pair| match *pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    });
    pairs.collect()
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
    fn a_notification_begins_with_the_watched_name() {
        let name = Name::new([0, b' ', 0xff]).unwrap();
        assert_eq!(watched(TOPIC, &name), "topic 0020ff");
        assert_eq!(split_notification("topic 0020ff 7 0 left 5"), Some(("topic 0020ff", "7 0 left 5")));
        assert_eq!(split_notification("removed 00"), None);
    }

    #[test]
    fn a_change_is_one_line() {
        let entered = format!("entered 7 {:032x} m 1 61 ", 5);
        let entry = Entry {
            seq: Seq(7),
            nonce: Nonce(5),
            key: Some(b"a".to_vec()),
            mode: Mode::Member,
            limit: std::num::NonZeroU32::MIN,
            value: Vec::new(),
        };
        assert_eq!(change_of(&entered), Some(Change::Entered(entry.clone())));
        assert_eq!(change_of(&entered.replace(" 61 ", " - ")), Some(Change::Entered(Entry { key: None, ..entry })));
        assert_eq!(change_of("left 7"), Some(Change::Left(Seq(7))));
        assert_eq!(change_of("value 7 00ff"), Some(Change::Replaced { seq: Seq(7), value: vec![0, 255] }));
        for unreadable in ["", "left", "left x", "value 7 0", "value 7 é", "entered 7"] {
            assert_eq!(change_of(unreadable), None, "{unreadable}");
        }
    }

    #[test]
    fn a_password_file_has_wildcards_and_escapes() {
        let file = "# h:1:d:u:comment\nh:1:d:other:no\n*:1:d:u:a\\:b\\\\c:d\n";
        assert_eq!(password_of(file, ["h", "1", "d", "u"]).as_deref(), Some("a:b\\c:d"));
        assert_eq!(password_of(file, ["h", "2", "d", "u"]), None);
    }
}
