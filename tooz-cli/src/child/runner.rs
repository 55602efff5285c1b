//! The runner: it starts the command under a guard and ends it before another client may hold the same lock.
//!
//! - The command must be gone when the guard is lost, so it is killed at that moment, without a warning.
//! - A loss that can be foreseen, because the backend does not answer, has a warning: SIGTERM comes earlier than the
//!   deadline by the grace, but by a third of the session's time at most, so that it never comes while renewals succeed.
//! - SIGTERM to tooz, or the death of the guardian, leaves the command the whole grace, in which the lock stays held.
//! - The lock is released when the whole process group of the command is gone.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::ExitStatus;
use std::time::Duration;

use clap::{Args, ValueEnum};
use rustix::process::Signal;
use tokio::time::{Instant, sleep, sleep_until};
use tooz::{Error, Guard};

use super::channel::{self, Report};
use super::group::{self, CommandGroup, CommandLine};
use super::requests::{Request, Requests};
use crate::arguments::duration;
use crate::exit::{Failure, INTERNAL, LOST, Result, SIGNALED};
use crate::output::say;

/// The longest pause between two reports of the deadline.
const REPORT: Duration = Duration::from_secs(1);
/// The shortest pause between two reports of the deadline.
const LEAST_REPORT: Duration = Duration::from_millis(20);

/// What happens to the command when the lock is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnLoss {
    /// SIGTERM if the loss can be foreseen, and SIGKILL at the loss.
    Term,
    /// SIGKILL at the loss.
    Kill,
    /// A message; the command continues, perhaps at the same time as another one.
    Warn,
}

/// The command, and how it is ended.
#[derive(Args, Clone, Debug)]
pub(crate) struct CommandOptions {
    /// What happens to the command when the lock is lost.
    #[arg(long, value_enum, default_value = "term")]
    on_loss: OnLoss,
    /// The time between SIGTERM and SIGKILL.
    #[arg(long, value_parser = duration, default_value = "10s", value_name = "TIME")]
    grace: Duration,
    /// The command and its arguments. It sees the fencing token in the variable TOOZ_FENCING_TOKEN.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// How a command ended.
pub(crate) type Ended = Result<u8>;

/// Runs commands, one after the other.
#[derive(Debug)]
pub(crate) struct Runner {
    channel: UnixStream,
    stdin: OwnedFd,
    requests: Requests,
    line: CommandLine,
    on_loss: OnLoss,
    grace: Duration,
}

impl Runner {
    /// Takes over the channel to the guardian.
    pub(crate) fn start(options: &CommandOptions, foreground: bool) -> io::Result<Self> {
        let (channel, stdin) = channel::receive_stdin()?;
        adopt_orphans();
        Ok(Self {
            requests: Requests::receive(channel.try_clone()?)?,
            channel,
            stdin,
            line: CommandLine { words: options.command.clone(), foreground },
            on_loss: options.on_loss,
            grace: options.grace,
        })
    }

    /// Whether the command runs on when the lock is lost.
    pub(crate) fn only_warns(&self) -> bool {
        self.on_loss == OnLoss::Warn
    }

    /// Does `work`, unless a signal or the death of the guardian asks for the end while no command runs.
    pub(crate) async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        tokio::select! {
            biased;
            stop = self.requests.stop() => Err(Failure::new(stop.code(), "")),
            output = work => Ok(output),
        }
    }

    /// Runs the command under the guard and returns its exit code. If the future is dropped, the command is killed.
    pub(crate) async fn run(&self, guard: &Guard) -> Ended {
        let requests = self.requests.subscribe();
        if let Some(stop) = self.requests.stopped() {
            return Err(Failure::new(stop.code(), ""));
        }
        // Dropped after the group, whose drop kills it.
        let _running = Running::begin(self);
        let mut watch = LossWatch { runner: self, guard, longest: Duration::ZERO, is_warned: false };
        watch.report();
        let (mut leader, group) = group::start(&self.line, guard.fencing_token(), &self.stdin)?;
        self.report(Report::Started(group.id()));
        let end = async {
            let status = leader.wait().await;
            group.end_rest(self.grace).await;
            status
        };
        watch.until_ended(end, &group, requests).await
    }

    /// Reports to the guardian, which may be dead.
    fn report(&self, report: Report) {
        let _ = (&self.channel).write_all(report.encode().as_bytes());
    }
}

/// Watches a guard while the command runs.
#[derive(Debug)]
struct LossWatch<'a> {
    runner: &'a Runner,
    guard: &'a Guard,
    /// The longest time for which the guard was held without a renewal.
    longest: Duration,
    /// Whether the command has received SIGTERM because a loss is near.
    is_warned: bool,
}

impl LossWatch<'_> {
    async fn until_ended(
        &mut self,
        end: impl Future<Output = io::Result<ExitStatus>>,
        group: &CommandGroup,
        mut requests: tokio::sync::broadcast::Receiver<Request>,
    ) -> Ended {
        let (mut end, mut suspends) = (pin!(end), pin!(group.undo_suspends()));
        let (mut kill_at, mut loss) = (None, None);
        loop {
            tokio::select! {
                biased;
                status = &mut end => return self.outcome(status?, loss),
                cause = self.guard.lost(), if loss.is_none() => {
                    self.lose(&cause, group);
                    loss = Some(cause);
                }
                Ok(request) = requests.recv() => {
                    let signal = if let Request::Signal(signal) = request { signal } else { Signal::TERM };
                    group.signal(signal);
                    if signal == Signal::TERM {
                        kill_at.get_or_insert(Instant::now() + self.runner.grace);
                    }
                }
                () = at(kill_at) => {
                    group.signal(Signal::KILL);
                    kill_at = None;
                }
                () = &mut suspends => {}
                () = self.next_report(), if loss.is_none() => self.foresee(group),
            }
        }
    }

    fn lose(&self, cause: &Error, group: &CommandGroup) {
        match self.runner.on_loss {
            OnLoss::Warn => say("lost", format!("{cause}; the command continues, as --on-loss warn asks")),
            OnLoss::Term | OnLoss::Kill => {
                group.signal(Signal::KILL);
                say("lost", format!("{cause}; the command was killed"));
            }
        }
    }

    fn outcome(&self, status: ExitStatus, loss: Option<Error>) -> Ended {
        match loss {
            Some(_) if self.runner.on_loss != OnLoss::Warn => Err(Failure::new(LOST, "")),
            None if self.is_warned => Err(Failure::new(LOST, "")),
            _ => Ok(code_of(status)),
        }
    }

    /// Reports the deadline and warns the command if it is near.
    fn foresee(&mut self, group: &CommandGroup) {
        self.report();
        let margin = self.runner.grace.min(self.longest / 3);
        let is_near = self.guard.remaining().is_some_and(|remaining| remaining < margin);
        if is_near && !self.is_warned && self.runner.on_loss == OnLoss::Term {
            self.is_warned = true;
            group.signal(Signal::TERM);
            let remaining = self.guard.remaining().unwrap_or_default();
            let text = format!("the backend does not answer; SIGTERM was sent, and SIGKILL follows in {remaining:.1?}");
            say("loss_is_near", text);
        }
    }

    fn report(&mut self) {
        if let Some(remaining) = self.guard.remaining().filter(|_| self.runner.on_loss != OnLoss::Warn) {
            self.longest = self.longest.max(remaining);
            self.runner.report(Report::Deadline(remaining));
        }
    }

    /// Waits until the next report is due; without a deadline, never.
    async fn next_report(&self) {
        match self.guard.remaining() {
            Some(remaining) => sleep((remaining / 8).clamp(LEAST_REPORT, REPORT)).await,
            None => std::future::pending().await,
        }
    }
}

/// Says that a command runs, until it is dropped.
#[derive(Debug)]
struct Running<'a>(&'a Runner);

impl<'a> Running<'a> {
    fn begin(runner: &'a Runner) -> Self {
        runner.requests.set_running(true);
        Self(runner)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.report(Report::Ended);
        self.0.requests.set_running(false);
    }
}

/// Makes the processes that the command leaves behind children of the runner, which reaps them.
fn adopt_orphans() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        say("warning", format!("ended processes of the command may stay as zombies: {error}"));
    }
}

fn code_of(status: ExitStatus) -> u8 {
    let of_signal = |signal: i32| SIGNALED + u8::try_from(signal).unwrap_or_default();
    status
        .code()
        .map_or_else(|| status.signal().map_or(INTERNAL, of_signal), |code| code.try_into().unwrap_or(INTERNAL))
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
