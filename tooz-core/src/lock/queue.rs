//! The queue of a lock, semaphore or election as `inspect` shows it.

use std::borrow::Borrow;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::owner::Owner;
use super::token::FencingToken;
use crate::driver::{Entry, Mode, admission};
use crate::time::from_unix_millis;
use crate::{Error, Name, Result, text_or_bytes};

/// The holders and the waiters of a lock, semaphore or election at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Queue {
    /// The clients that hold it, in the order of arrival.
    pub holders: Vec<Participant>,
    /// The clients that wait, in the order of arrival, which is the order of the grants.
    pub waiters: Vec<Participant>,
}

/// A client that holds a lock, permit or leadership, or waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Participant {
    /// The member id of the client's coordinator. If it is unreadable, the text of the entry's nonce.
    pub member: Name,
    /// The fencing token of the grant. For a waiter, the token that its grant will have.
    pub token: FencingToken,
    /// Whether the client asked for shared mode.
    pub shared: bool,
    /// When the client asked, by its own clock; 1970 if that is unreadable.
    #[serde(rename = "since_ms", with = "crate::time::serde_millis")]
    pub since: SystemTime,
    /// What the client says about itself, with [`Lock::with_info`](crate::Lock::with_info); else empty.
    #[serde(with = "text_or_bytes")]
    pub info: Vec<u8>,
    /// Whether the owner of the entry could be read. Another program may have written the entry; it takes part in the
    /// queue nevertheless, and breaking the lock removes it.
    pub is_readable: bool,
}

impl Queue {
    pub(super) fn read<E: Borrow<Entry>>(entries: &[E]) -> Result<Self> {
        let (holders, waiters) = admission::partition(entries);
        let read = |entries: Vec<&Entry>| entries.into_iter().map(Participant::read).collect::<Result<_>>();
        Ok(Self { holders: read(holders)?, waiters: read(waiters)? })
    }
}

impl Participant {
    /// Fails for no entry: if the owner is unreadable, the text of the nonce, which is a valid name, takes its place.
    pub(crate) fn read(entry: &Entry) -> Result<Self> {
        let owner = Owner::decode(&entry.value).and_then(|Owner(member, at, info)| Ok((Name::new(member)?, at, info)));
        let is_readable = owner.is_ok();
        let (member, since, info) =
            owner.or_else(|_| Ok::<_, Error>((Name::new(entry.nonce.to_string())?, 0, Vec::new())))?;
        let (token, shared, since) = (entry.seq.into(), entry.mode == Mode::Shared, from_unix_millis(since));
        Ok(Self { member, token, shared, since, info, is_readable })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::{Nonce, Seq, SessionOptions};

    #[test]
    fn an_unreadable_owner_does_not_hide_the_queue() {
        let limit = std::num::NonZeroU32::MIN;
        let entry = |seq: u64, value: Vec<u8>| {
            let (seq, nonce, mode) = (Seq(seq), Nonce(seq.into()), Mode::Exclusive);
            Entry { seq, nonce, key: None, mode, limit, value }
        };
        let (b, ttl) = (Name::new("b").unwrap(), std::time::Duration::from_secs(1));
        let readable = Owner::encode_now(&SessionOptions::new("ns", b, ttl, ttl), b"info").unwrap();
        let entries = vec![entry(1, b"\xff".to_vec()), entry(2, readable)];
        let queue = Queue::read(&entries).unwrap();
        assert_eq!((queue.holders[0].is_readable, queue.waiters[0].is_readable), (false, true));
        assert_eq!((&queue.holders[0].info[..], &queue.waiters[0].info[..]), (&b""[..], &b"info"[..]));
        assert_eq!(queue.holders[0].member.to_string(), Nonce(1).to_string());
    }
}
