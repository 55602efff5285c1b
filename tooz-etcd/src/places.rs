//! Which keys our entries have.
//!
//! etcd keeps in its index, until the next compaction, every key that ever was, and passes them all when it reads a
//! range. Keys of their own for each entry would make every acquisition of a lock dearer than the one before. So a
//! session numbers its places in a roster, and a place that was certainly given up is taken by the next entry.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Mutex;

use tooz_core::driver::Nonce;

use crate::client::lock;

/// The places of a session.
#[derive(Debug, Default)]
pub(crate) struct Places(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    of: HashMap<Nonce, Place>,
    numbers: HashMap<Vec<u8>, Numbers>,
}

#[derive(Debug)]
struct Place {
    prefix: Vec<u8>,
    number: u32,
    key: Vec<u8>,
    /// How often the entry was tried.
    attempts: u32,
}

/// The numbers under one prefix: those below `next`, but for the free ones, are taken.
#[derive(Debug, Default)]
struct Numbers {
    next: u32,
    free: Vec<u32>,
}

impl Places {
    /// The key of an entry that is about to be tried: `prefix` and the number of a place that no other entry has.
    pub(crate) fn take(&self, nonce: Nonce, prefix: Vec<u8>) -> Vec<u8> {
        let Inner { of, numbers } = &mut *lock(&self.0);
        let place = match of.entry(nonce) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(empty) => {
                let numbers = numbers.entry(prefix.clone()).or_default();
                let number = numbers.free.pop().unwrap_or_else(|| {
                    numbers.next += 1;
                    numbers.next - 1
                });
                let mut key = prefix.clone();
                key.extend_from_slice(number.to_string().as_bytes());
                empty.insert(Place { prefix, number, key, attempts: 0 })
            }
        };
        place.attempts += 1;
        place.key.clone()
    }

    /// The key of an entry that was tried and may stand.
    pub(crate) fn key(&self, nonce: Nonce) -> Option<Vec<u8>> {
        lock(&self.0).of.get(&nonce).map(|place| place.key.clone())
    }

    /// The entry stands no more, and no request that could add it is under way, unless there was more than one.
    pub(crate) fn give_back(&self, nonce: Nonce) {
        let Inner { of, numbers } = &mut *lock(&self.0);
        let Some(place) = of.remove(&nonce).filter(|place| place.attempts == 1) else { return };
        if let Entry::Occupied(mut known) = numbers.entry(place.prefix) {
            let numbers = known.get_mut();
            numbers.free.push(place.number);
            if numbers.free.len() == numbers.next as usize {
                known.remove();
            }
        }
    }

    /// The entry is given up, but a request that concerns its key may still be under way: nobody takes its place.
    pub(crate) fn forsake(&self, nonce: Nonce) {
        lock(&self.0).of.remove(&nonce);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_taken_again_only_if_it_was_certainly_given_up() {
        let places = Places::default();
        let take = |nonce| String::from_utf8(places.take(Nonce(nonce), b"/x/".to_vec())).unwrap();
        assert_eq!([take(1), take(2), take(2), take(3)], ["/x/0", "/x/1", "/x/1", "/x/2"]);
        places.give_back(Nonce(1));
        places.give_back(Nonce(1));
        assert_eq!(take(4), "/x/0");
        // Tried twice, so one attempt may still be under way.
        places.give_back(Nonce(2));
        places.forsake(Nonce(3));
        assert_eq!((places.key(Nonce(2)), places.key(Nonce(3))), (None, None));
        assert_eq!(take(5), "/x/3");
        assert_eq!(take(1), "/x/4");
    }

    #[test]
    fn nothing_is_kept_of_a_roster_without_entries() {
        let places = Places::default();
        for nonce in 0..3 {
            places.take(Nonce(nonce), b"/x/".to_vec());
        }
        (0..3).for_each(|nonce| places.give_back(Nonce(nonce)));
        let inner = lock(&places.0);
        assert!(inner.of.is_empty() && inner.numbers.is_empty());
    }
}
