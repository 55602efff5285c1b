//! The one admission rule: an entry is admitted when fewer than `limit` entries that conflict with it stand before it.
//!
//! Limit 1 makes a mutex or a read-write lock, limit n a semaphore. Order is strict first come, first served: a shared
//! entry behind a waiting exclusive one waits too, so writers do not starve. Drivers mirror this rule in Lua, SQL or a
//! transaction; the conformance suite compares them with it.

use std::num::NonZeroU32;

use super::{Entry, Mode, Seq, Ticket, support};
use crate::Result;

/// Whether an entry of mode `new` conflicts with an entry of mode `earlier` that stands before it.
pub fn conflicts(new: Mode, earlier: Mode) -> bool {
    new.conflicting().contains(&earlier)
}

/// What blocks an entry of `mode` and `limit` behind the entries `before` it (in rising order): the nearest conflicting
/// one, or `None` if it is admitted.
pub fn blocker(before: &[Entry], mode: Mode, limit: NonZeroU32) -> Option<Seq> {
    let mut conflicting = before.iter().rev().filter(|earlier| conflicts(mode, earlier.mode));
    let nearest = conflicting.next()?;
    (conflicting.count() + 1 >= limit.get() as usize).then_some(nearest.seq)
}

/// What blocks the entry of `ticket` among `entries` (in rising order), or `None` if it is admitted.
///
/// # Errors
/// `NotHeld` if the entry is not among them.
pub fn blocker_of(entries: &[Entry], ticket: &Ticket) -> Result<Option<Seq>> {
    let is_ours = |entry: &Entry| entry.seq == ticket.seq && entry.nonce == ticket.nonce;
    let position = entries.iter().position(is_ours).ok_or_else(support::not_held)?;
    Ok(blocker(&entries[..position], ticket.mode, ticket.limit))
}

/// Splits the entries of a snapshot into those that are admitted and those that wait, both in rising order.
pub fn partition(entries: &[Entry]) -> (Vec<&Entry>, Vec<&Entry>) {
    let (mut exclusive, mut shared) = (0, 0);
    entries.iter().partition(|entry| {
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
        let line = entries(&[S, S, X, S], 1);
        let (admitted, waiting) = partition(&line);
        assert_eq!((seqs(&admitted), seqs(&waiting)), (vec![1, 2], vec![3, 4]));
        assert_eq!(blocker(&line, X, NonZeroU32::MIN), Some(Seq(4)));
        assert_eq!(blocker(&line, S, NonZeroU32::MIN), Some(Seq(3)));
        assert_eq!(blocker(&line, Mode::Member, NonZeroU32::MIN), None);
    }

    proptest! {
        #[test]
        fn partition_agrees_with_blocker_and_never_admits_too_many(
            modes in prop::collection::vec(prop_oneof![Just(Mode::Exclusive), Just(Mode::Shared)], 0..24),
            limit in 1u32..5,
        ) {
            let line = entries(&modes, limit);
            let (admitted, _) = partition(&line);
            for (index, entry) in line.iter().enumerate() {
                let free = blocker(&line[..index], entry.mode, entry.limit).is_none();
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
            let line = entries(&modes, limit);
            let mut shorter = line.clone();
            shorter.remove(victim.index(line.len()));
            let after = seqs(&partition(&shorter).0);
            for entry in partition(&line).0 {
                prop_assert!(entry.seq == line[victim.index(line.len())].seq || after.contains(&entry.seq.0));
            }
        }
    }
}
