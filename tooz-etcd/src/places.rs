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
    /// How often the entry was tried or withdrawn.
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
                empty.insert(Place { prefix, number, attempts: 0 })
            }
        };
        place.attempts += 1;
        place.key()
    }

    /// The key of an entry that was tried and may stand.
    pub(crate) fn key(&self, nonce: Nonce) -> Option<Vec<u8>> {
        lock(&self.0).of.get(&nonce).map(Place::key)
    }

    /// As [`key`](Self::key), for who withdraws the entry: that request compares nothing, so nobody takes the place.
    pub(crate) fn key_to_withdraw(&self, nonce: Nonce) -> Option<Vec<u8>> {
        let mut inner = lock(&self.0);
        let place = inner.of.get_mut(&nonce)?;
        place.attempts += 1;
        Some(place.key())
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

impl Place {
    fn key(&self) -> Vec<u8> {
        place(&self.prefix, self.number)
    }
}

/// Between places of a session that are no further apart, one watch serves both.
const CLOSE: u32 = 8;

/// The key of a place of a session in a roster.
fn place(prefix: &[u8], number: u32) -> Vec<u8> {
    // Of equal length, so that they are in order as keys, too.
    [prefix, format!("{number:08x}").as_bytes()].concat()
}

/// The prefix and the number of a place.
fn split(key: &[u8]) -> Option<(&[u8], u32)> {
    let (prefix, number) = key.split_at_checked(key.len().checked_sub(8)?)?;
    Some((prefix, u32::from_str_radix(std::str::from_utf8(number).ok()?, 16).ok()?))
}

/// Whether the keys are of one session's places, and only a few can be between the two.
pub(crate) fn are_close(one: &[u8], other: &[u8]) -> bool {
    split(one).zip(split(other)).is_some_and(|(one, other)| one.0 == other.0 && one.1.abs_diff(other.1) <= CLOSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_taken_again_only_if_it_was_certainly_given_up() {
        let places = Places::default();
        let take = |nonce| places.take(Nonce(nonce), b"/x/".to_vec());
        let at = |number| place(b"/x/", number);
        assert_eq!([take(1), take(2), take(2), take(3)], [0, 1, 1, 2].map(at));
        places.give_back(Nonce(1));
        places.give_back(Nonce(1));
        assert_eq!(take(4), at(0));
        // Tried twice, so one attempt may still be under way.
        places.give_back(Nonce(2));
        places.forsake(Nonce(3));
        assert_eq!((places.key(Nonce(2)), places.key(Nonce(3))), (None, None));
        assert_eq!(take(5), at(3));
        assert_eq!(take(1), at(4));
        // A withdrawal of the one may come late, and would remove the next.
        assert_eq!(places.key_to_withdraw(Nonce(1)), Some(at(4)));
        places.give_back(Nonce(1));
        assert_eq!((places.key_to_withdraw(Nonce(1)), take(6)), (None, at(5)));
    }

    #[test]
    fn close_places_are_of_one_session() {
        let one = place(b"/x/1.", 15);
        let far = [place(b"/x/2.", 15), place(b"/s/1.", 15), place(b"/x/1.", 24)];
        assert!(are_close(&one, &place(b"/x/1.", 23)) && !far.iter().any(|far| are_close(&one, far)));
        assert!(!are_close(b"", b"") && !are_close(b"12345678", b"x2345678"));
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
