//! Running a command under a lock so that it never outlives the lock.
//!
//! Three processes take part. Each watches its neighbours, so whichever is killed, the command ends:
//!
//! - The **guardian** is the process that the user started. It passes signals on, returns the exit code, and kills the
//!   command if the runner dies or lets the deadline of the session pass (because it is frozen, for instance).
//! - The **runner** is tooz again. It has the session and the lock, and starts and ends the command. If the guardian
//!   dies, it ends the command and releases the lock afterwards, so a killed guardian leaves nothing held.
//! - The **command** runs in a process group of its own. Before tooz becomes the command it asks the kernel to kill it
//!   when the runner dies.

mod channel;
mod exec;
mod group;
mod guardian;
mod requests;
mod runner;
mod terminal;

pub(crate) use self::exec::{ExecArguments, exec};
pub(crate) use self::guardian::guard;
pub(crate) use self::runner::{CommandOptions, Runner};
