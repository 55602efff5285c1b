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
}

impl Requests {
    /// Begins to receive, in tasks of the present runtime.
    pub(super) fn receive(channel: UnixStream) -> std::io::Result<Self> {
        let (all, (stopping, stop)) = (broadcast::Sender::new(PENDING), watch::channel(None));
        let mut signals = forward_signals()?;
        let (to_all, to_stopping) = (all.clone(), stopping.clone());
        tokio::spawn(async move {
            while let Some(signal) = signals.recv().await {
                announce(Request::Signal(signal), &to_all, &to_stopping);
            }
        });
        channel.set_nonblocking(true)?;
        let mut channel = tokio::net::UnixStream::from_std(channel)?;
        let requests = Self { all: all.clone(), stop };
        tokio::spawn(async move {
            // The guardian sends nothing more, so this waits for its death.
            let _ = channel.read(&mut [0]).await;
            announce(Request::GuardianDied, &all, &stopping);
        });
        Ok(requests)
    }

    /// All requests from now on.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Request> {
        self.all.subscribe()
    }

    /// Waits for a request that ends a runner without a command. It may have come before. Cancel safe.
    pub(super) async fn stop(&self) -> Stop {
        let mut stop = self.stop.clone();
        match stop.wait_for(Option::is_some).await.ok().and_then(|stop| *stop) {
            Some(stop) => stop,
            None => std::future::pending().await,
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

fn announce(request: Request, all: &broadcast::Sender<Request>, stopping: &watch::Sender<Option<Stop>>) {
    if !matches!(request, Request::Signal(signal) if !ENDING.contains(&signal)) {
        stopping.send_if_modified(|stop| stop.is_none().then(|| *stop = Some(Stop(request))).is_some());
    }
    // Without a command there is no receiver.
    let _ = all.send(request);
}
