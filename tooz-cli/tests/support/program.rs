//! The program `tooz` in a test.

use std::ffi::OsStr;
use std::io::Read;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// How long anything may take on a loaded machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Waits until something holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A command line of `tooz` against one backend.
pub(crate) fn tooz(url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tooz"));
    command.env("TOOZ_BACKEND", url).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running `tooz`. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
}

impl Program {
    pub(crate) fn start<S: AsRef<OsStr>>(url: &str, arguments: impl IntoIterator<Item = S>) -> Self {
        Self { child: tooz(url).args(arguments).spawn().unwrap() }
    }

    pub(crate) fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.id(), signal).unwrap();
    }

    /// The runner, which is the only child of the guardian.
    pub(crate) fn runner(&self) -> Pid {
        only_child(self.id())
    }

    /// The command, which is the only child of the runner once it has started.
    pub(crate) fn command(&self) -> Pid {
        only_child(self.runner())
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the end and returns the exit code and what was printed.
    pub(crate) fn finish(mut self) -> Finished {
        eventually("tooz ends", || !self.is_running());
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        Finished { code: self.child.wait().unwrap().code(), stdout, stderr }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// `None` after a signal.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    #[track_caller]
    pub(crate) fn assert_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        self
    }
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// Whether a process lives. A zombie is dead.
pub(crate) fn is_alive(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    let is_zombie = stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'));
    test_kill_process(pid).is_ok() && !is_zombie
}

fn only_child(parent: Pid) -> Pid {
    let parent = parent.as_raw_nonzero();
    let mut child = None;
    eventually("the process has a child", || {
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        child = children.split_whitespace().next().and_then(|pid| Pid::from_raw(pid.parse().ok()?));
        child.is_some()
    });
    child.unwrap()
}
