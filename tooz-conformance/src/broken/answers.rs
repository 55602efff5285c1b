//! Answers with a fault: what a correct driver has returned, falsified before the caller sees it.

use tooz_core::driver::{Entry, IfTaken, Key, NewEntry, NewName, Nonce, Roster, Snapshot, Standing, Version};
use tooz_core::{Error, ErrorKind, Name, Result};

use super::fault::FaultKind as F;

/// The snapshot that the caller sees.
pub(super) fn snapshot(fault: Option<F>, mut snapshot: Snapshot) -> Snapshot {
    let each = |entries: &mut Vec<Entry>, change: fn(&mut Entry)| entries.iter_mut().for_each(change);
    match fault {
        Some(F::ReversesEntries) => snapshot.entries.reverse(),
        Some(F::HidesKeys) => each(&mut snapshot.entries, |entry| entry.key = None),
        Some(F::HidesLimits) => each(&mut snapshot.entries, |entry| entry.limit = std::num::NonZeroU32::MIN),
        Some(F::HidesDeclarations) => snapshot.declared = false,
        Some(F::ChangesVersions) => snapshot.version = Version(Nonce::random().0 as u64 | 1),
        _ => {}
    }
    snapshot
}

/// The key that is entered in place of the caller's.
pub(super) fn key<'a>(fault: Option<F>, key: Key<'a>) -> Key<'a> {
    match (fault, key) {
        (Some(F::RefusesTakeOvers), Key::Unique(key, _)) => Key::Unique(key, IfTaken::Refuse),
        (Some(F::TakesOverUnasked), Key::Unique(key, _)) => Key::Unique(key, IfTaken::TakeOver),
        (_, key) => key,
    }
}

/// The standing that the caller sees, given the entries that precede it.
pub(super) fn standing(fault: Option<F>, standing: Standing, entries: &[Entry]) -> Standing {
    match (fault, standing, entries.first()) {
        (Some(F::BlamesTheFirst), Standing::Waiting { ticket, .. }, Some(first)) => {
            Standing::Waiting { ticket, blocked_by: first.seq }
        }
        _ => standing,
    }
}

/// Whether something was done, as the caller sees it.
pub(super) fn was_done(fault: Option<F>, always: F, done: bool) -> bool {
    done || fault == Some(always)
}

/// The outcome, without an error of this kind if the fault is `hides`.
pub(super) fn without_error(fault: Option<F>, hides: F, kind: ErrorKind, outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(error) if fault == Some(hides) && error.kind() == kind => Ok(()),
        outcome => outcome,
    }
}

/// The error of a second `close`.
pub(super) fn closed_twice() -> Error {
    Error::new(ErrorKind::SessionLost, "the session was closed before")
}

/// What is reported when a lock comes into use: an election of its name.
pub(super) fn of_another_kind(name: NewName) -> NewName {
    match name {
        NewName::Lock(name) => NewName::Election(name),
        name => name,
    }
}

/// The declared names that the caller sees.
pub(super) fn names(fault: Option<F>, mut names: Vec<Name>) -> Vec<Name> {
    match fault {
        Some(F::ListsUnsorted) => names.reverse(),
        Some(F::DeclaresAPage) => names.truncate(100),
        _ => {}
    }
    names
}

/// The roster and the nonce of a new entry, by which its earlier standing is found.
pub(super) fn identity(roster: &Roster, entry: &NewEntry<'_>) -> (Roster, Nonce) {
    (roster.clone(), entry.nonce)
}
