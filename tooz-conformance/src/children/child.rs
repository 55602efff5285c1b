//! The parent's side: starts a child, exchanges lines with it, kills it, freezes it, or suspends its host.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::time::{sleep, timeout};

use super::protocol::{Assignment, MARK, PATIENCE, VARIABLE};
use super::suspend::SuspendableClock;
use crate::Failure;

/// A child process of a trial. It is killed when this is dropped.
#[derive(Debug)]
pub struct Child {
    role: String,
    process: tokio::process::Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    clock: Option<SuspendableClock>,
}

impl Child {
    pub(crate) fn spawn(assignment: Assignment) -> Result<Self, Failure> {
        Self::start(assignment, None)
    }

    /// Starts a child whose host can be [suspended](Self::suspend).
    pub(crate) fn spawn_suspendable(assignment: Assignment) -> Result<Self, Failure> {
        Self::start(assignment, Some(SuspendableClock::new()?))
    }

    fn start(assignment: Assignment, clock: Option<SuspendableClock>) -> Result<Self, Failure> {
        let environment = clock.iter().flat_map(SuspendableClock::environment);
        let mut process = command()?
            .envs(environment)
            .env(VARIABLE, serde_json::to_string(&assignment)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (input, output) = (process.stdin.take(), process.stdout.take());
        match (input, output) {
            (Some(input), Some(output)) => {
                Ok(Self { role: assignment.role, process, input, output: BufReader::new(output).lines(), clock })
            }
            _ => Err(Failure::new("the child has no pipes")),
        }
    }

    /// Sends a value, which the child [receives](super::ChildContext::receive).
    ///
    /// # Errors
    /// The child has ended.
    pub async fn send(&mut self, value: &(impl Serialize + Sync)) -> Result<(), Failure> {
        let line = format!("{}\n", serde_json::to_string(value)?);
        self.input.write_all(line.as_bytes()).await?;
        Ok(self.input.flush().await?)
    }

    /// Waits, for at most 30 s, for the next value that the child [sends](super::ChildContext::send).
    ///
    /// # Errors
    /// The child ended, sent nothing, or sent a line that does not deserialize as `T`.
    pub async fn receive<T: DeserializeOwned>(&mut self) -> Result<T, Failure> {
        let next = async {
            while let Some(line) = self.output.next_line().await? {
                match line.strip_prefix(MARK) {
                    Some(value) => return Ok(serde_json::from_str(value)?),
                    None => eprintln!("{}: {line}", self.role),
                }
            }
            Err(Failure::new(format!("the child {} ended", self.role)))
        };
        timeout(PATIENCE, next).await.map_err(|_| Failure::new("the child sent nothing for 30 s"))?
    }

    /// Kills the child with SIGKILL, even if it is frozen, and waits for its end.
    ///
    /// # Errors
    /// The kernel refuses the signal.
    pub async fn kill(&mut self) -> Result<(), Failure> {
        Ok(self.process.kill().await?)
    }

    /// Freezes the child with SIGSTOP. Receive a value from it first: a child that is frozen while it starts could
    /// outlive a parent that is killed.
    ///
    /// # Errors
    /// The child has ended.
    pub fn pause(&self) -> Result<(), Failure> {
        self.signal(Signal::STOP)
    }

    /// Resumes a frozen child with SIGCONT.
    ///
    /// # Errors
    /// The child has ended.
    pub fn resume(&self) -> Result<(), Failure> {
        self.signal(Signal::CONT)
    }

    /// Suspends the host for this child: the child and its monotonic clock stop, while all others continue. See
    /// [`Context::spawn_suspendable`](crate::Context::spawn_suspendable).
    ///
    /// # Errors
    /// The child has ended or cannot be suspended.
    pub async fn suspend(&mut self) -> Result<(), Failure> {
        self.pause()?;
        while self.runs() {
            sleep(Duration::from_millis(1)).await;
        }
        self.clock()?.stop();
        Ok(())
    }

    /// Wakes the host of a suspended child.
    ///
    /// # Errors
    /// The child has ended or cannot be suspended.
    pub fn wake(&mut self) -> Result<(), Failure> {
        self.clock()?.go_on()?;
        self.resume()
    }

    fn clock(&mut self) -> Result<&mut SuspendableClock, Failure> {
        self.clock.as_mut().ok_or_else(|| Failure::new("the child was not started as one that can be suspended"))
    }

    /// Whether a thread of the child is not stopped yet.
    fn runs(&self) -> bool {
        let tasks = self.id().and_then(|id| fs::read_dir(format!("/proc/{id}/task")).ok());
        let stat = |task: fs::DirEntry| fs::read_to_string(task.path().join("stat")).ok();
        // The state follows the command, which is in parentheses and may contain spaces.
        let stopped =
            |stat: &str| stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['T', 't', 'Z', 'X']));
        tasks.into_iter().flatten().flatten().filter_map(stat).any(|stat| !stopped(&stat))
    }

    /// Waits, for at most 30 s, until the child ends.
    ///
    /// # Errors
    /// The child still runs.
    pub async fn wait(&mut self) -> Result<ExitStatus, Failure> {
        Ok(timeout(PATIENCE, self.process.wait())
            .await
            .map_err(|_| Failure::new("the child did not end in 30 s"))??)
    }

    /// The process id, while the child runs.
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    fn signal(&self, signal: Signal) -> Result<(), Failure> {
        let pid = self.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let pid = pid.ok_or_else(|| Failure::new(format!("the child {} has ended", self.role)))?;
        Ok(kill_process(pid, signal)?)
    }
}

/// This program. Where `setpriv` is installed, the kernel kills the child together with its parent.
fn command() -> Result<Command, Failure> {
    let program = env::current_exe()?;
    let path = env::var_os("PATH").unwrap_or_default();
    let setpriv: Option<PathBuf> =
        env::split_paths(&path).map(|directory| directory.join("setpriv")).find(|path| path.is_file());
    Ok(match setpriv {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL"]).arg(program);
            command
        }
        None => Command::new(program),
    })
}
