//! The keys of the session's entries, which are used again.
//!
//! etcd keeps in its index every key that ever was, until the next compaction, and passes them all when it reads a range.
//! A key of its own for each entry would make every acquisition of a lock dearer than the one before. So a session numbers
//! its entries, and the next entry takes the number that became free last. A number is free only if its key certainly is.

use std::collections::HashMap;
use std::sync::Mutex;

use tooz_core::driver::support::lock;
use tooz_core::driver::{Nonce, Seq};

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
    /// How many requests that concern the key were sent.
    requests: u32,
    /// The seq of the entry, once it is known to be in its roster.
    entered: Option<Seq>,
    /// What blocked it then.
    blockers: Blockers,
}

impl KeyPool {
    /// The key of an entry that is about to enter: `prefix` and a number that no other entry has.
    pub(crate) fn take(&self, nonce: Nonce, prefix: Vec<u8>) -> Vec<u8> {
        let Inner { keys, next, free } = &mut *lock(&self.0);
        let key = keys.entry(nonce).or_insert_with(|| {
            let number = free.pop().unwrap_or_else(|| {
                *next += 1;
                *next - 1
            });
            let key = [&*prefix, format!("{number:08x}").as_bytes()].concat();
            Key { key, number, requests: 0, entered: None, blockers: Blockers::default() }
        });
        key.requests += 1;
        key.key.clone()
    }

    /// The key of an entry that may be in its roster.
    pub(crate) fn key(&self, nonce: Nonce) -> Option<Vec<u8>> {
        lock(&self.0).keys.get(&nonce).map(|key| key.key.clone())
    }

    /// The entry is in its roster with this seq, behind these blockers.
    pub(crate) fn entered(&self, nonce: Nonce, seq: Seq, blockers: Blockers) {
        if let Some(key) = lock(&self.0).keys.get_mut(&nonce) {
            (key.entered, key.blockers) = (Some(seq), blockers);
        }
    }

    /// What blocked the entry when it entered.
    pub(crate) fn blockers(&self, nonce: Nonce) -> Blockers {
        lock(&self.0).keys.get(&nonce).map(|key| key.blockers.clone()).unwrap_or_default()
    }

    /// All entries that must be in their rosters.
    pub(crate) fn all_entered(&self) -> Vec<(Nonce, EntryKey)> {
        let entered =
            |(nonce, key): (&Nonce, &Key)| Some((*nonce, EntryKey { key: key.key.clone(), seq: key.entered? }));
        lock(&self.0).keys.iter().filter_map(entered).collect()
    }

    /// As [`key`](Self::key), for a withdrawal. That request compares nothing, so the key will never be free.
    pub(crate) fn key_to_withdraw(&self, nonce: Nonce) -> Option<Vec<u8>> {
        let mut inner = lock(&self.0);
        let key = inner.keys.get_mut(&nonce)?;
        key.requests += 1;
        Some(key.key.clone())
    }

    /// The entry is gone. Its key is free unless another request that could add it may still be under way.
    pub(crate) fn release(&self, nonce: Nonce) {
        let Inner { keys, free, .. } = &mut *lock(&self.0);
        free.extend(keys.remove(&nonce).filter(|key| key.requests == 1).map(|key| key.number));
    }

    /// The entry is gone, but a request that concerns its key may still be under way: the key will never be free. Returns
    /// whether the entry was known.
    pub(crate) fn abandon(&self, nonce: Nonce) -> bool {
        lock(&self.0).keys.remove(&nonce).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_used_again_only_if_it_is_certainly_free() {
        let pool = KeyPool::default();
        let take = |nonce| pool.take(Nonce(nonce), b"/x/".to_vec());
        let key = |number: u32| format!("/x/{number:08x}").into_bytes();
        assert_eq!([take(1), take(2), take(2), take(3)], [0, 1, 1, 2].map(key));
        pool.release(Nonce(1));
        pool.release(Nonce(1));
        assert_eq!(take(4), key(0));
        // Two requests were sent, so one of them may still be under way.
        pool.release(Nonce(2));
        assert!(pool.abandon(Nonce(3)) && !pool.abandon(Nonce(3)));
        assert_eq!((pool.key(Nonce(2)), pool.key(Nonce(3))), (None, None));
        assert_eq!(take(5), key(3));
        assert_eq!(take(1), key(4));
        // A withdrawal of one entry may come late, and would remove the next entry with this key.
        assert_eq!(pool.key_to_withdraw(Nonce(1)), Some(key(4)));
        pool.release(Nonce(1));
        assert_eq!((pool.key_to_withdraw(Nonce(1)), take(6)), (None, key(5)));
    }

    #[test]
    fn all_numbers_become_free() {
        let pool = KeyPool::default();
        for nonce in 0..3 {
            pool.take(Nonce(nonce), b"/x/".to_vec());
        }
        (0..3).for_each(|nonce| pool.release(Nonce(nonce)));
        let inner = lock(&pool.0);
        assert!(inner.keys.is_empty() && inner.free.len() == inner.next as usize);
    }
}
