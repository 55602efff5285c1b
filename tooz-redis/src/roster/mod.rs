//! The verbs of a roster, one file for each. Each verb is one Lua script, so it is atomic.

mod declare;
mod enter;
mod follow;
mod leave;
mod page;
mod replace;
mod snapshot;
mod wait;

pub(crate) use self::follow::RedisFollower;
