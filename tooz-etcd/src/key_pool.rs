//! The keys of the session's entries, which are used again.
//!
//! etcd keeps in its index every key that ever was, until the next compaction, and passes them all when it reads a range.
//! A key of its own for each entry would make every acquisition of a lock dearer than the one before. So a session numbers
//! its entries, and the next entry takes the number that became free last. A number is free only if its key certainly is.

use std::collections::HashMap;
use std::sync::Mutex;

use tooz_core::driver::support::lock;
use tooz_core::driver::{Nonce, Seq, Ticket};

use crate::blockers::{Blockers, EntryKey};

/// The keys of a session.
#[derive(Debug, Default)]
pub(crate) struct KeyPool(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    keys: HashMap<Nonce, Key>,
    /// All numbers from this one on are free, and these.
    next: u32,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Key {
    key: Vec<u8>,
    number: u32,
    is_withdrawn: bool,
    /// The seq of the entry, once it is known to be in its roster.
    entered: Option<Seq>,
    /// What blocked it then.
    blockers: Blockers,
}

impl KeyPool {
    /// The key of an entry that is about to enter: `prefix` and a number that no other entry has.
    pub(crate) fn take(&self, nonce: Nonce, prefix: &[u8]) -> Vec<u8> {
        let Inner { keys, next, free } = &mut *lock(&self.0);
        let key = keys.entry(nonce).or_insert_with(|| {
            let number = free.pop().unwrap_or_else(|| {
                *next += 1;
                *next - 1
            });
            let key = [prefix, format!("{number:08x}").as_bytes()].concat();
            Key { key, number, is_withdrawn: false, entered: None, blockers: Blockers::default() }
        });
        key.key.clone()
    }

    /// The key of an entry that may be in its roster, and what blocked it when it entered.
    pub(crate) fn get(&self, nonce: Nonce) -> Option<(Vec<u8>, Blockers)> {
        lock(&self.0).keys.get(&nonce).map(|key| (key.key.clone(), key.blockers.clone()))
    }

    /// The entry is in its roster, behind these blockers.
    pub(crate) fn entered(&self, ticket: &Ticket, blockers: Blockers) {
        if let Some(key) = lock(&self.0).keys.get_mut(&ticket.nonce) {
            (key.entered, key.blockers) = (Some(ticket.seq), blockers);
        }
    }

    /// All entries that must be in their rosters.
    pub(crate) fn all_entered(&self) -> Vec<(Nonce, EntryKey)> {
        let entered =
            |(nonce, key): (&Nonce, &Key)| Some((*nonce, EntryKey { key: key.key.clone(), seq: key.entered? }));
        lock(&self.0).keys.iter().filter_map(entered).collect()
    }

    /// The key of an entry that is withdrawn. That request compares nothing and may come late, so the key will never be free.
    pub(crate) fn key_to_withdraw(&self, nonce: Nonce) -> Option<Vec<u8>> {
        let mut inner = lock(&self.0);
        let key = inner.keys.get_mut(&nonce)?;
        key.is_withdrawn = true;
        Some(key.key.clone())
    }

    /// The entry is gone, and behind the fence no request can add it any more: its key is free. Returns whether the entry was
    /// known.
    pub(crate) fn remove(&self, nonce: Nonce) -> bool {
        let Inner { keys, free, .. } = &mut *lock(&self.0);
        let removed = keys.remove(&nonce);
        free.extend(removed.iter().filter(|key| !key.is_withdrawn).map(|key| key.number));
        removed.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_used_again_only_if_it_is_certainly_free() {
        let pool = KeyPool::default();
        let take = |nonce| pool.take(Nonce(nonce), b"/x/");
        let key = |number: u32| format!("/x/{number:08x}").into_bytes();
        assert_eq!([take(1), take(2), take(2), take(3)], [0, 1, 1, 2].map(key));
        assert!(pool.remove(Nonce(1)) && !pool.remove(Nonce(1)));
        assert_eq!((take(4), take(5)), (key(0), key(3)));
        // The withdrawal may come late, and would remove the next entry with this key.
        assert_eq!(pool.key_to_withdraw(Nonce(3)), Some(key(2)));
        assert!(pool.remove(Nonce(3)));
        assert_eq!((pool.get(Nonce(3)), take(6)), (None, key(4)));
    }

    #[test]
    fn all_numbers_become_free() {
        let pool = KeyPool::default();
        for nonce in 0..3 {
            pool.take(Nonce(nonce), b"/x/");
        }
        assert!((0..3).all(|nonce| pool.remove(Nonce(nonce))));
        let inner = lock(&pool.0);
        assert!(inner.keys.is_empty() && inner.free.len() == inner.next as usize);
    }
}
