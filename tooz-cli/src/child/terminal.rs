//! The foreground of the terminal: the command gets it while it runs, so that it can read and Ctrl-C reaches it.
//!
//! A process group that is not in the foreground is stopped when it reads from the terminal.

use nix::sys::signal::{SigSet, Signal};
use rustix::process::getpgrp;
use rustix::stdio::stdin;
use rustix::termios::{isatty, tcgetpgrp, tcsetpgrp};

/// Whether the process group of this process is in the foreground of the terminal on its standard input.
pub(super) fn is_foreground() -> bool {
    isatty(stdin()) && tcgetpgrp(stdin()).is_ok_and(|group| group == getpgrp())
}

/// Makes the process group of this process the foreground. Without a terminal it does nothing.
pub(super) fn take() {
    // The terminal stops a background process that calls `tcsetpgrp`, unless it blocks this signal.
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGTTOU);
    if blocked.thread_block().is_ok() {
        // The terminal may have gone away.
        let _ = tcsetpgrp(stdin(), getpgrp());
        let _ = blocked.thread_unblock();
    }
}
