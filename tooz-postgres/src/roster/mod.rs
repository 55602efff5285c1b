//! The verbs of a roster, one file for each. Each verb is one function of the schema, so it is atomic.

mod declare;
mod enter;
mod follow;
mod leave;
mod replace;
mod snapshot;
mod wait;

pub(crate) use self::follow::PostgresFollower;
