//! The verbs of a roster, one file for each. Each verb is one Lua script, so it is atomic.

mod declare;
mod enter;
mod leave;
mod replace;
mod snapshot;
mod wait;
