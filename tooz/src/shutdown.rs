//! The end of the program as a token, for `Election::lead`, `Lock::once_per` and your own `select!`.

use std::sync::mpsc;
use std::{io, thread};

use tokio::runtime::{Builder, Runtime};
use tooz_core::{CancellationToken, Error, ErrorKind, Result};

/// What a shell reports for a program that Ctrl-C has ended.
const EXIT_CODE: i32 = 130;

/// A token that is cancelled when the process is asked to end: by SIGTERM or Ctrl-C, on Windows by Ctrl-C, Ctrl-Break or the
/// end of the session.
///
/// Leave your work at the cancellation and close the coordinator; then nothing stays held. [`scope`](crate::scope) does both.
/// A second signal ends the process at once, for a program that does not come to its end.
///
/// Call it once, with or without an async runtime: a thread of its own waits for the signals.
///
/// # Errors
/// `Unexpected` if the operating system refuses the signal handler or the thread.
pub fn shutdown() -> Result<CancellationToken> {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    let (sender, started) = mpsc::channel();
    let wait = move || match start() {
        Ok((runtime, mut signals)) => {
            // The caller waits for this answer.
            let _ = sender.send(Ok(()));
            runtime.block_on(signals.next());
            cancelled.cancel();
            runtime.block_on(signals.next());
            std::process::exit(EXIT_CODE);
        }
        Err(error) => drop(sender.send(Err(error))),
    };
    let spawned = thread::Builder::new().name("tooz-shutdown".to_owned()).spawn(wait);
    spawned
        .and_then(|_| started.recv().map_err(io::Error::other)?)
        .map_err(|error| Error::new(ErrorKind::Unexpected, "failed to install a signal handler").with_source(error))?;
    Ok(token)
}

/// The runtime of the thread, and the signals, which are noticed from now on.
fn start() -> io::Result<(Runtime, Signals)> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let signals = {
        let _context = runtime.enter();
        Signals::new()?
    };
    Ok((runtime, signals))
}

/// The signals that ask a process to end.
#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The console events that ask a process to end.
#[cfg(windows)]
struct Signals {
    ctrl_c: tokio::signal::windows::CtrlC,
    ctrl_break: tokio::signal::windows::CtrlBreak,
    shutdown: tokio::signal::windows::CtrlShutdown,
}

#[cfg(windows)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_shutdown};
        Ok(Self { ctrl_c: ctrl_c()?, ctrl_break: ctrl_break()?, shutdown: ctrl_shutdown()? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.ctrl_c.recv() => {}
            _ = self.ctrl_break.recv() => {}
            _ = self.shutdown.recv() => {}
        }
    }
}
