//! The guardian: the process that the user started. It has no session and does almost nothing, so that little can go
//! wrong in it.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, Command};
use tooz::time::{Moment, sleep_until};

use super::channel::{self, Report};
use super::requests::forward_signals;
use super::terminal;
use crate::exit::{Failure, INTERNAL, LOST, SIGNALED};
use crate::output::say;

/// How often the deadline is compared with a clock that includes suspends of the host.
const CHECK: std::time::Duration = std::time::Duration::from_secs(1);

/// The file of this program, also after an update has replaced it.
pub(super) fn this_program() -> std::path::PathBuf {
    match cfg!(target_os = "linux") {
        true => "/proc/self/exe".into(),
        false => std::env::current_exe().unwrap_or_else(|_| "tooz".into()),
    }
}

/// Starts the runner with the arguments of this process, watches it and returns the exit code.
pub(crate) async fn guard() -> ExitCode {
    let is_foreground = terminal::is_foreground();
    let outcome = match Guardian::start(is_foreground) {
        Ok(guardian) => guardian.watch().await,
        Err(error) => Err(error),
    };
    if is_foreground {
        terminal::take();
    }
    outcome.unwrap_or_else(|error| Failure::new(INTERNAL, format!("failed to run the command: {error}")).report())
}

/// The runner, and what it has reported.
#[derive(Debug)]
struct Guardian {
    runner: Child,
    runner_id: Pid,
    reports: Lines<BufReader<tokio::net::UnixStream>>,
    /// The process group of the command while it runs.
    group: Option<Pid>,
    has_started: bool,
    deadline: Option<Moment>,
}

impl Guardian {
    fn start(is_foreground: bool) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        channel::send_stdin(&ours)?;
        ours.set_nonblocking(true)?;
        let mut command = Command::new(this_program());
        command.arg0("tooz").arg("--runner").args(is_foreground.then_some("--foreground"));
        command.args(std::env::args_os().skip(1)).stdin(Stdio::from(OwnedFd::from(theirs)));
        // Signals from the terminal reach the guardian alone, which passes them on.
        let runner = command.process_group(0).spawn()?;
        let id = runner.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        let runner_id = id.ok_or_else(|| io::Error::other("the runner ended at once"))?;
        let reports = BufReader::new(tokio::net::UnixStream::from_std(ours)?).lines();
        Ok(Self { runner, runner_id, reports, group: None, has_started: false, deadline: None })
    }

    async fn watch(mut self) -> io::Result<ExitCode> {
        let mut signals = forward_signals()?;
        let mut is_open = true;
        loop {
            tokio::select! {
                status = self.runner.wait() => {
                    // The last reports may still be unread.
                    while let Ok(Some(line)) = self.reports.next_line().await {
                        self.note(&line);
                    }
                    return Ok(self.end(status?));
                }
                line = self.reports.next_line(), if is_open => match line {
                    Ok(Some(line)) => self.note(&line),
                    _ => is_open = false,
                },
                Some(signal) = signals.recv() => {
                    // The runner may have ended at this moment.
                    let _ = kill_process(self.runner_id, signal);
                }
                () = until(self.deadline) => {
                    say("lost", "the runner has not renewed the session in time; the command is killed");
                    self.kill();
                }
            }
        }
    }

    fn note(&mut self, line: &str) {
        match Report::decode(line) {
            Some(Report::Started(group)) => (self.group, self.has_started) = (Some(group), true),
            Some(Report::Deadline(remaining)) => self.deadline = Some(Moment::now() + remaining),
            Some(Report::Ended) => (self.group, self.deadline) = (None, None),
            None => {}
        }
    }

    /// Kills the command, if it runs.
    fn kill(&mut self) {
        self.deadline = None;
        if let Some(group) = self.group {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    fn end(mut self, status: ExitStatus) -> ExitCode {
        let Some(signal) = status.signal() else {
            return status.code().and_then(|code| code.try_into().ok()).unwrap_or(INTERNAL).into();
        };
        self.kill();
        match self.has_started {
            true => Failure::new(LOST, "the runner was killed, and so is the command").report(),
            false => (SIGNALED + u8::try_from(signal).unwrap_or_default()).into(),
        }
    }
}

async fn until(deadline: Option<Moment>) {
    match deadline {
        Some(deadline) => sleep_until(deadline, CHECK).await,
        None => std::future::pending().await,
    }
}
