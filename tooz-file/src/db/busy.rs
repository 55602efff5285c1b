//! How long a thread waits for a database in which another process writes.

use std::cell::Cell;
use std::thread;
use std::time::{Duration, Instant};

/// The pause between two attempts. SQLite's own handler sleeps up to 100 ms, which would be most of a hand-over.
const RETRY: Duration = Duration::from_micros(50);

/// The longest timeout that is taken literally; a longer one never passes.
const LONGEST: Duration = Duration::from_secs(86_400 * 365 * 30);

thread_local! {
    /// Until when this thread waits for a busy database.
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Runs `work`, which may wait for other processes until `deadline`; with `None` it does not wait at all.
pub(crate) fn until<T>(deadline: Option<Instant>, work: impl FnOnce() -> T) -> T {
    let before = DEADLINE.replace(deadline);
    let result = work();
    DEADLINE.set(before);
    result
}

/// Whether this thread may wait, and has time left to do so.
pub(crate) fn may_wait() -> bool {
    DEADLINE.get().is_some_and(|deadline| Instant::now() < deadline)
}

/// Waits a moment for a busy database. Returns `false`, at once, when the deadline has passed.
pub(crate) fn wait() -> bool {
    let waits = may_wait();
    if waits {
        thread::sleep(RETRY);
    }
    waits
}

/// The moment at which work for a request with this timeout gives up: a little earlier than its caller, because the work
/// knows the cause best.
pub(crate) fn deadline(timeout: Duration) -> Instant {
    let timeout = timeout.min(LONGEST);
    Instant::now() + (timeout - timeout / 10)
}
