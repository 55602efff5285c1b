//! The trials that every driver must pass, in groups; a group is one file.

use crate::Trial;
use crate::children::Role;
use crate::history;

/// Makes `fn trials()` for a file: its functions, each behind what it [needs](crate::Needs), as trials named
/// `prefix::function`.
macro_rules! trials {
    ($prefix:literal $($needs:ident: $($function:ident),* ;)*) => {
        pub(crate) fn trials() -> Vec<Trial> {
            vec![$($(Trial::new(concat!($prefix, "::", stringify!($function)), Needs::$needs, $function)),*),*]
        }
    };
}

mod coordinator;
mod driver_enter;
mod driver_keys;
mod driver_leave;
mod driver_model;
mod driver_session;
mod driver_snapshot;
mod driver_topics;
mod driver_wait;
mod election;
mod group;
mod group_watch;
mod guard;
mod lock;
mod outage;
mod people;
mod processes;
mod semaphore;
mod session;
mod stage;
mod topic;

/// All trials, in the order in which they are listed.
pub(crate) fn all() -> Vec<Trial> {
    [
        driver_enter::trials(),
        driver_leave::trials(),
        driver_keys::trials(),
        driver_wait::trials(),
        driver_snapshot::trials(),
        driver_session::trials(),
        driver_topics::trials(),
        driver_model::trials(),
        session::trials(),
        coordinator::trials(),
        lock::trials(),
        guard::trials(),
        semaphore::trials(),
        election::trials(),
        group::trials(),
        group_watch::trials(),
        topic::trials(),
        processes::trials(),
        outage::trials(),
        history::trials(),
    ]
    .concat()
}

/// What child processes of those trials can be told to do.
pub(crate) fn roles() -> Vec<Role> {
    let mut roles = processes::roles();
    roles.push(Role::new(history::ROLE, history::play_role));
    roles
}
