//! Helpers that drivers share: common errors, tombstones, content versions, PEM files and mutexes.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Entry, Nonce, Offset, Version};
use crate::{Error, ErrorKind, Result};

/// `Unsupported`: a URL asks for TLS, and the driver `package` was built without its cargo feature `tls`.
pub fn built_without_tls(package: &str) -> Error {
    let message = format!(
        "the URL asks for TLS, but this program was built without it; enable the cargo feature `tls` of tooz or of {package}"
    );
    Error::new(ErrorKind::Unsupported, message)
}

/// `SessionLost`: the backend no longer knows the session.
pub fn session_lost() -> Error {
    Error::new(ErrorKind::SessionLost, "the server no longer knows the session")
}

/// `SessionLost`: the session was closed by its own client.
pub fn session_closed() -> Error {
    Error::new(ErrorKind::SessionLost, "the session was closed")
}

/// `Unavailable`: a request has received no reply within `limit`. `server` names what did not answer, such as `"etcd"`.
pub fn no_answer(server: &str, limit: Duration) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{server} did not answer within {limit:?}"))
}

/// `NotHeld`: the entry of a ticket is no longer in the roster.
pub fn not_held() -> Error {
    Error::new(ErrorKind::NotHeld, "the entry is no longer in the roster")
}

/// `NotHeld`: the nonce of an `enter` was withdrawn before.
pub fn withdrawn() -> Error {
    Error::new(ErrorKind::NotHeld, "the entry was withdrawn before it entered")
}

/// `GroupNotCreated`: the roster is not declared.
pub fn group_not_created() -> Error {
    Error::new(ErrorKind::GroupNotCreated, "the group does not exist; create it first")
}

/// `GroupNotEmpty`: a roster with entries cannot be retracted.
pub fn group_not_empty() -> Error {
    Error::new(ErrorKind::GroupNotEmpty, "the group still has members; they must leave first")
}

/// `MemberAlreadyExists`: another entry has the unique key, and the new one does not take over.
pub fn member_already_exists() -> Error {
    Error::new(ErrorKind::MemberAlreadyExists, "another live session has joined with this member id")
}

/// `Gap`: retention has removed messages after the offset `after`, up to the offset `trimmed`.
pub fn gap(after: Offset, trimmed: Offset) -> Error {
    Error::new(ErrorKind::Gap, "messages after this offset were removed by retention")
        .with_context("after", after)
        .with_context("removed up to", trimmed)
}

/// `Unexpected`: a counter has no greater number left, and a repeated number would be unsafe. `what` names the number,
/// such as `"offset"`.
pub fn exhausted(what: &str) -> Error {
    Error::new(ErrorKind::Unexpected, format!("the last {what} is used; no greater one exists"))
}

/// The newest withdrawn nonces of a session, up to a fixed number.
///
/// [`Session::withdraw`](super::Session::withdraw) says how long a nonce must be remembered. A buffer is sufficient if its
/// capacity exceeds the number of requests that the session has under way, because core never enters with a withdrawn
/// nonce again.
#[derive(Debug)]
pub struct Tombstones {
    nonces: VecDeque<Nonce>,
    capacity: usize,
}

impl Tombstones {
    /// An empty buffer for at most `capacity` nonces.
    pub fn new(capacity: usize) -> Self {
        Self { nonces: VecDeque::new(), capacity }
    }

    /// Records a withdrawn nonce. A full buffer forgets the oldest one.
    pub fn insert(&mut self, nonce: Nonce) {
        if self.nonces.len() >= self.capacity {
            self.nonces.pop_front();
        }
        self.nonces.push_back(nonce);
    }

    /// Whether the buffer contains the nonce.
    pub fn contains(&self, nonce: Nonce) -> bool {
        self.nonces.contains(&nonce)
    }
}

/// A version computed from the content of a roster, for backends that do not count changes.
///
/// Snapshots with the same content have the same version. Versions are comparable inside one process only, since the
/// hash may differ between builds. A roster without entries that is not declared has `Version::default()`.
pub fn content_version(declared: bool, entries: &[Entry]) -> Version {
    hashed_version(declared, entries.iter().map(|entry| (entry.seq, entry.nonce, &entry.value)))
}

/// Like [`content_version`], from values that identify the content of each entry, such as its key and revision.
pub fn hashed_version<T: Hash>(declared: bool, entries: impl IntoIterator<Item = T>) -> Version {
    let mut entries = entries.into_iter().peekable();
    if !declared && entries.peek().is_none() {
        return Version::default();
    }
    let mut hasher = DefaultHasher::new();
    declared.hash(&mut hasher);
    entries.for_each(|entry| entry.hash(&mut hasher));
    Version(hasher.finish().max(1))
}

/// Reads the PEM file of a URL option and checks that it contains a block with this label, such as `CERTIFICATE`.
///
/// # Errors
/// `InvalidOption`, which names the option, the file and the cause.
pub fn read_pem(option: &str, path: &Path, label: &str) -> Result<String> {
    let invalid = |message: String| Error::new(ErrorKind::InvalidOption, message);
    let file = || format!("{}, the file of option \"{option}\"", path.display());
    let text = std::fs::read_to_string(path)
        .map_err(|error| invalid(format!("failed to read {}", file())).with_source(error))?;
    match text.lines().any(|line| line.starts_with("-----BEGIN") && line.contains(label)) {
        true => Ok(text),
        false => Err(invalid(format!("{} has no PEM block with the label {label}", file()))),
    }
}

/// Locks a mutex whose data stays consistent even if a thread panics while it holds the lock.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tombstones_keep_the_newest() {
        let mut tombstones = Tombstones::new(2);
        (1..=3).for_each(|nonce| tombstones.insert(Nonce(nonce)));
        assert_eq!([1, 2, 3].map(|nonce| tombstones.contains(Nonce(nonce))), [false, true, true]);
    }

    #[test]
    fn an_empty_undeclared_roster_has_the_default_version() {
        assert_eq!(content_version(false, &[]), Version::default());
        assert_ne!(content_version(true, &[]), Version::default());
    }

    #[test]
    fn a_file_without_the_label_is_named() {
        let error = read_pem("ca_cert", Path::new("/dev/null"), "CERTIFICATE").unwrap_err().to_string();
        assert!(error.contains("/dev/null") && error.contains("ca_cert"), "{error}");
    }
}
