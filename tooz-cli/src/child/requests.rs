//! What the runner is asked to do while it waits and while the command runs: signals, and the death of the guardian.

use std::os::unix::net::UnixStream;

use rustix::process::Signal;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{broadcast, mpsc, watch};

use crate::exit::SIGNALED;

/// The signals that are passed on to the command.
const PASSED_ON: [Signal; 6] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::USR1, Signal::USR2];
/// Those of them that end a runner without a command.
const ENDING: [Signal; 4] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];
/// How many requests may wait for the runner.
const PENDING: usize = 64;

/// A request to the runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Pass this signal on.
    Signal(Signal),
    /// The guardian is dead: end everything.
    GuardianDied,
}

/// A request that ends a runner while it has no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stop(Request);

impl Stop {
    /// The exit code of a program that a signal ends.
    pub(crate) fn code(self) -> u8 {
        match self.0 {
            Request::Signal(signal) => SIGNALED + u8::try_from(signal.as_raw()).unwrap_or_default(),
            Request::GuardianDied => SIGNALED + 9,
        }
    }
}

/// Receives requests from the start of the runner on.
#[derive(Debug)]
pub(super) struct Requests {
    all: broadcast::Sender<Request>,
    stop: watch::Receiver<Option<Stop>>,
    is_running: watch::Sender<bool>,
}

impl Requests {
    /// Begins to receive, in tasks of the present runtime.
    pub(super) fn receive(channel: UnixStream) -> std::io::Result<Self> {
        let (all, is_running) = (broadcast::Sender::new(PENDING), watch::Sender::new(false));
        let (stopping, stop) = watch::channel(None);
        let mut signals = forward_signals()?;
        channel.set_nonblocking(true)?;
        let mut channel = tokio::net::UnixStream::from_std(channel)?;
        let requests = Self { all: all.clone(), stop, is_running: is_running.clone() };
        tokio::spawn(async move {
            let mut nothing = [0];
            loop {
                let request = tokio::select! {
                    Some(signal) = signals.recv() => Request::Signal(signal),
                    // The guardian sends nothing more, so this waits for its death.
                    _ = channel.read(&mut nothing) => Request::GuardianDied,
                };
                // A command that runs receives the signal, and what it makes of it decides.
                let ends =
                    matches!(request, Request::Signal(signal) if ENDING.contains(&signal) && !*is_running.borrow());
                if request == Request::GuardianDied || ends {
                    stopping.send_if_modified(|stop| stop.is_none().then(|| *stop = Some(Stop(request))).is_some());
                }
                // Without a command there is no receiver.
                let _ = all.send(request);
                if request == Request::GuardianDied {
                    return;
                }
            }
        });
        Ok(requests)
    }

    /// Says whether a command runs.
    pub(super) fn set_running(&self, is_running: bool) {
        self.is_running.send_replace(is_running);
    }

    /// All requests from now on.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Request> {
        self.all.subscribe()
    }

    /// Waits for a request that ends the runner, and until no command runs. Cancel safe.
    pub(super) async fn stop(&self) -> Stop {
        let (mut stop, mut is_running) = (self.stop.clone(), self.is_running.subscribe());
        let stop = stop.wait_for(Option::is_some).await.ok().and_then(|stop| *stop);
        match (stop, is_running.wait_for(|is_running| !is_running).await) {
            (Some(stop), Ok(_)) => stop,
            // The senders live as long as their tasks, which is until the guardian dies.
            _ => std::future::pending().await,
        }
    }

    /// The request that [`stop`](Self::stop) waits for, if it has come.
    pub(super) fn stopped(&self) -> Option<Stop> {
        *self.stop.borrow()
    }
}

/// Receives the signals that are passed on, instead of being ended by them.
pub(super) fn forward_signals() -> std::io::Result<mpsc::UnboundedReceiver<Signal>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    for passed_on in PASSED_ON {
        let mut signals = signal(SignalKind::from_raw(passed_on.as_raw()))?;
        let sender = sender.clone();
        tokio::spawn(async move { while signals.recv().await.is_some() && sender.send(passed_on).is_ok() {} });
    }
    Ok(receiver)
}
