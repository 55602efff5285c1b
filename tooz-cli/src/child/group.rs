//! The process group of the command: starting, signalling and ending it.

use std::ffi::OsString;
use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process_group, test_kill_process_group, waitid, waitpgid,
};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};
use tooz::FencingToken;

use crate::output::say;

/// How often the end of processes that the command left behind is checked.
const CHECK: Duration = Duration::from_millis(10);
/// How long a killed process may take to disappear, unless the kernel keeps it.
const KILLED: Duration = Duration::from_secs(5);

/// What to start.
#[derive(Clone, Debug)]
pub(super) struct CommandLine {
    pub(super) words: Vec<OsString>,
    pub(super) foreground: bool,
}

/// Starts the command as the leader of a new process group.
pub(super) fn start(command: &CommandLine, token: FencingToken, stdin: &OwnedFd) -> io::Result<(Child, CommandGroup)> {
    let mut exec = Command::new(super::guardian::this_program());
    exec.arg("exec").arg(format!("--runner={}", std::process::id()));
    exec.args(command.foreground.then_some("--foreground")).arg("--").args(&command.words);
    exec.env("TOOZ_FENCING_TOKEN", token.to_string());
    let leader = exec.stdin(Stdio::from(stdin.try_clone()?)).process_group(0).spawn()?;
    let id = leader.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
    let id = id.ok_or_else(|| io::Error::other("the command has no process id"))?;
    Ok((leader, CommandGroup { id, is_gone: AtomicBool::new(false) }))
}

/// A command and its descendants, as far as they stay in its process group. Dropping it kills them.
#[derive(Debug)]
pub(super) struct CommandGroup {
    id: Pid,
    is_gone: AtomicBool,
}

impl CommandGroup {
    pub(super) fn id(&self) -> Pid {
        self.id
    }

    /// Sends a signal to all processes of the group, unless they are gone.
    pub(super) fn signal(&self, signal: Signal) {
        if !self.is_gone.load(Ordering::Relaxed) {
            let _ = kill_process_group(self.id, signal);
        }
    }

    /// Continues the command whenever Ctrl-Z has suspended it: the terminal and the lock would both stay with it. Never
    /// returns.
    pub(super) async fn undo_suspends(&self) {
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        let Ok(mut changes) = signal(SignalKind::child()) else { return pending().await };
        while changes.recv().await.is_some() {
            let status = waitid(WaitId::Pid(self.id), stopped).ok().flatten();
            if status.and_then(|status| status.stopping_signal()) == Some(Signal::TSTP.as_raw()) {
                say("warning", "a command that holds a lock is not suspended");
                self.signal(Signal::CONT);
            }
        }
        pending().await
    }

    /// Ends what the command left behind, after the command itself has ended: SIGTERM first, SIGKILL after `grace`.
    pub(super) async fn end_rest(&self, grace: Duration) {
        let kill_at = Instant::now() + grace;
        if self.has_processes() {
            self.signal(Signal::TERM);
        }
        while self.has_processes() && Instant::now() < kill_at + KILLED {
            if Instant::now() >= kill_at {
                self.signal(Signal::KILL);
            }
            sleep(CHECK).await;
        }
        self.is_gone.store(true, Ordering::Relaxed);
    }

    fn has_processes(&self) -> bool {
        has_processes(self.id)
    }
}

impl Drop for CommandGroup {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let is_gone = self.is_gone.load(Ordering::Relaxed);
        if let Some(runtime) = Handle::try_current().ok().filter(|_| !is_gone) {
            runtime.spawn(reap(self.id));
        }
    }
}

/// Whether a group has processes. Reaps those that have ended and are children of this process.
fn has_processes(group: Pid) -> bool {
    while let Ok(Some(_)) = waitpgid(group, WaitOptions::NOHANG) {}
    test_kill_process_group(group) != Err(Errno::SRCH)
}

/// Reaps a group that was killed, unless the kernel keeps its processes.
async fn reap(group: Pid) {
    let end = Instant::now() + KILLED;
    while has_processes(group) && Instant::now() < end {
        sleep(CHECK).await;
    }
}
