//! The trials that every driver must pass, in groups; a group is one file.

mod session;

use crate::Trial;
use crate::children::Role;

/// All trials, in the order in which they are listed.
pub(crate) fn all() -> Vec<Trial> {
    [session::trials()].into_iter().flatten().collect()
}

/// What child processes of those trials can be told to do.
pub(crate) fn roles() -> Vec<Role> {
    Vec::new()
}
