//! The admission rule: an entry is admitted when fewer than `limit` conflicting entries are before it.
//!
//! - Limit 1 makes a mutex or a read-write lock; limit n makes a semaphore.
//! - The order is strictly first come, first served. A shared entry behind a waiting exclusive one waits too, so
//!   writers do not starve.
//! - The memory driver calls these functions. Other drivers implement the rule in Lua, SQL or a transaction, and the
//!   conformance suite compares them with this file.

use std::borrow::Borrow;
use std::num::NonZeroU32;

use super::{Entry, Mode, Seq, Ticket, support};
use crate::Result;

/// Whether an entry of mode `new` conflicts with an earlier entry of mode `earlier`.
pub fn conflicts(new: Mode, earlier: Mode) -> bool {
    new.conflicting().contains(&earlier)
}

/// What blocks an entry of `mode` and `limit` after the entries `before`, which are in ascending order. Returns the
/// nearest conflicting entry, or `None` if the new entry is admitted.
pub fn blocker(before: &[Entry], mode: Mode, limit: NonZeroU32) -> Option<Seq> {
    let mut conflicting = before.iter().rev().filter(|earlier| conflicts(mode, earlier.mode));
    let nearest = conflicting.next()?;
    let further = limit.get() as usize - 1;
    (conflicting.take(further).count() == further).then_some(nearest.seq)
}

/// What blocks the entry of `ticket` among `entries`, which are in ascending order; `None` if it is admitted.
///
/// # Errors
/// `NotHeld` if `entries` does not contain the entry.
pub fn blocker_of(entries: &[Entry], ticket: &Ticket) -> Result<Option<Seq>> {
    let position = entries.iter().position(|entry| entry.matches(ticket)).ok_or_else(support::not_held)?;
    Ok(blocker(&entries[..position], ticket.mode, ticket.limit))
}

/// Splits the entries of a snapshot into the admitted and the waiting ones, both in ascending order.
pub fn partition<E: Borrow<Entry>>(entries: &[E]) -> (Vec<&Entry>, Vec<&Entry>) {
    let (mut exclusive, mut shared) = (0, 0);
    entries.iter().map(Borrow::borrow).partition(|entry| {
        let before = match entry.mode {
            Mode::Exclusive => exclusive + shared,
            Mode::Shared => exclusive,
            Mode::Member => 0,
        };
        match entry.mode {
            Mode::Exclusive => exclusive += 1,
            Mode::Shared => shared += 1,
            Mode::Member => {}
        }
        before < entry.limit.get()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::driver::Nonce;

    fn entries(modes: &[Mode], limit: u32) -> Vec<Entry> {
        let limit = NonZeroU32::new(limit).unwrap();
        let entry = |(index, mode): (usize, &Mode)| Entry {
            seq: Seq(index as u64 + 1),
            nonce: Nonce(index as u128),
            key: None,
            mode: *mode,
            limit,
            value: Vec::new(),
        };
        modes.iter().enumerate().map(entry).collect()
    }

    fn seqs(entries: &[&Entry]) -> Vec<u64> {
        entries.iter().map(|entry| entry.seq.0).collect()
    }

    #[test]
    fn a_waiting_writer_holds_back_later_readers() {
        use Mode::{Exclusive as X, Shared as S};
        let queue = entries(&[S, S, X, S], 1);
        let (admitted, waiting) = partition(&queue);
        assert_eq!((seqs(&admitted), seqs(&waiting)), (vec![1, 2], vec![3, 4]));
        assert_eq!(blocker(&queue, X, NonZeroU32::MIN), Some(Seq(4)));
        assert_eq!(blocker(&queue, S, NonZeroU32::MIN), Some(Seq(3)));
        assert_eq!(blocker(&queue, Mode::Member, NonZeroU32::MIN), None);
    }

    proptest! {
        #[test]
        fn partition_agrees_with_blocker_and_never_admits_too_many(
            modes in prop::collection::vec(prop_oneof![Just(Mode::Exclusive), Just(Mode::Shared)], 0..24),
            limit in 1u32..5,
        ) {
            let queue = entries(&modes, limit);
            let (admitted, _) = partition(&queue);
            for (index, entry) in queue.iter().enumerate() {
                let free = blocker(&queue[..index], entry.mode, entry.limit).is_none();
                prop_assert_eq!(free, admitted.contains(&entry));
            }
            let exclusive = admitted.iter().filter(|entry| entry.mode == Mode::Exclusive).count();
            prop_assert!(exclusive <= limit as usize);
            if exclusive > 0 && limit == 1 {
                prop_assert_eq!(admitted.len(), 1);
            }
        }

        #[test]
        fn a_leaving_entry_never_takes_admission_from_another(
            modes in prop::collection::vec(prop_oneof![Just(Mode::Exclusive), Just(Mode::Shared)], 1..24),
            limit in 1u32..5, victim in any::<prop::sample::Index>(),
        ) {
            let queue = entries(&modes, limit);
            let mut shorter = queue.clone();
            shorter.remove(victim.index(queue.len()));
            let after = seqs(&partition(&shorter).0);
            for entry in partition(&queue).0 {
                prop_assert!(entry.seq == queue[victim.index(queue.len())].seq || after.contains(&entry.seq.0));
            }
        }
    }
}
