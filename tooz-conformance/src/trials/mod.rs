//! The trials that every driver must pass, one file for each subject. [`driver`] tests the driver contract itself, the
//! other files test locks, groups and the like on top of it.

#[macro_use]
mod macros;

mod assignments;
mod coordinator;
mod coordinators;
mod driver;
mod election;
mod fixtures;
mod forks;
mod group;
mod group_watch;
mod guard;
mod hostile;
mod lead;
mod limits;
mod list;
mod lock;
mod lock_set;
mod names;
mod once_per;
mod outage;
mod processes;
mod queue_watch;
mod replaced;
mod scale;
mod scope;
mod semaphore;
mod session;
mod suspends;
mod topic;

pub(crate) use self::list::{all, roles};
pub(crate) use self::scale::{by_changes as scale_by_changes, by_listings as scale_by_listings};
