//! The list of all trials, and of the roles that their child processes play.

use super::{
    assignments, coordinator, driver, election, forks, group, group_watch, guard, hostile, lead, limits, lock,
    lock_set, names, once_per, outage, processes, queue_watch, replaced, scope, semaphore, session, suspends, topic,
};
use crate::children::Role;
use crate::{Trial, history};

/// All trials, in the order in which they are listed.
pub(crate) fn all() -> Vec<Trial> {
    [
        driver::enter::trials(),
        driver::leave::trials(),
        driver::keys::trials(),
        driver::wait::trials(),
        driver::snapshot::trials(),
        driver::follow::trials(),
        driver::names_watch::trials(),
        driver::rosters::trials(),
        driver::session::trials(),
        driver::topics::trials(),
        driver::model::trials(),
        session::trials(),
        coordinator::trials(),
        names::trials(),
        scope::trials(),
        lock::trials(),
        lock_set::trials(),
        limits::trials(),
        once_per::trials(),
        guard::trials(),
        semaphore::trials(),
        election::trials(),
        queue_watch::trials(),
        lead::trials(),
        group::trials(),
        group_watch::trials(),
        assignments::trials(),
        topic::trials(),
        hostile::trials(),
        processes::trials(),
        forks::trials(),
        suspends::trials(),
        outage::trials(),
        replaced::trials(),
        history::trials(),
    ]
    .concat()
}

/// The roles that child processes of these trials play.
pub(crate) fn roles() -> Vec<Role> {
    let mut roles = [processes::roles(), forks::roles(), suspends::roles()].concat();
    roles.push(Role::new(history::ROLE, history::play_role));
    roles
}
