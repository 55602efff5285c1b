//! The verbs of rosters, one file for each. See [`Rosters`] for how a roster is stored.

mod declare;
mod enter;
mod follow;
mod leave;
mod names;
mod queue;
mod removal_watch;
mod replace;
mod rosters;
mod snapshot;
mod view;
mod wait;
mod withdrawals;

pub(crate) use self::follow::ZooKeeperFollower;
pub(crate) use self::rosters::Rosters;
