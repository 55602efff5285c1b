//! Entries of rosters: entering, waiting, holding, releasing and watching. Locks, semaphores, elections and memberships
//! all hold entries.

mod acquire;
mod held;
mod hold_limit;
mod pending;
mod roster_watch;

pub(crate) use self::acquire::{EntryRequest, acquire, acquire_as};
pub(crate) use self::held::HeldEntry;
pub(crate) use self::roster_watch::RosterWatch;
