//! The parent's side: start a child, talk to it, harm it.

use std::env;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::{MARK, Orders, PATIENCE, VARIABLE};
use crate::Failure;

/// Another process of a trial; it is killed when this is dropped.
#[derive(Debug)]
pub struct Child {
    role: String,
    process: tokio::process::Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Child {
    pub(crate) fn spawn(orders: Orders) -> Result<Self, Failure> {
        let mut process = command()?
            .env(VARIABLE, serde_json::to_string(&orders)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (input, output) = (process.stdin.take(), process.stdout.take());
        match (input, output) {
            (Some(input), Some(output)) => {
                Ok(Self { role: orders.role, process, input, output: BufReader::new(output).lines() })
            }
            _ => Err(Failure::new("the child has no pipes")),
        }
    }

    /// Sends a value; the child [hears](super::ChildContext::hear) it.
    ///
    /// # Errors
    /// The child is gone.
    pub async fn tell(&mut self, value: &(impl Serialize + Sync)) -> Result<(), Failure> {
        let line = format!("{}\n", serde_json::to_string(value)?);
        self.input.write_all(line.as_bytes()).await?;
        Ok(self.input.flush().await?)
    }

    /// Waits, for at most 30 s, for what the child [says](super::ChildContext::say) next.
    ///
    /// # Errors
    /// The child ended (then with its own failure), said nothing, or said something else.
    pub async fn hear<T: DeserializeOwned>(&mut self) -> Result<T, Failure> {
        let next = async {
            while let Some(line) = self.output.next_line().await? {
                match line.strip_prefix(MARK) {
                    Some(value) => return Ok(serde_json::from_str(value)?),
                    None => eprintln!("{}: {line}", self.role),
                }
            }
            Err(Failure::new(format!("the child {} ended", self.role)))
        };
        timeout(PATIENCE, next).await.map_err(|_| Failure::new("the child said nothing for 30 s"))?
    }

    /// Kills the child with SIGKILL, also a frozen one, and waits for its end.
    ///
    /// # Errors
    /// The system refuses.
    pub async fn kill(&mut self) -> Result<(), Failure> {
        Ok(self.process.kill().await?)
    }

    /// Freezes the child with SIGSTOP. Hear something from it first: one that is frozen while it starts could outlive
    /// a parent that is killed.
    ///
    /// # Errors
    /// The child is gone.
    pub fn pause(&self) -> Result<(), Failure> {
        self.signal(Signal::STOP)
    }

    /// Lets a frozen child go on.
    ///
    /// # Errors
    /// The child is gone.
    pub fn resume(&self) -> Result<(), Failure> {
        self.signal(Signal::CONT)
    }

    /// Waits, for at most 30 s, for the child's end.
    ///
    /// # Errors
    /// It goes on.
    pub async fn wait(&mut self) -> Result<ExitStatus, Failure> {
        Ok(timeout(PATIENCE, self.process.wait())
            .await
            .map_err(|_| Failure::new("the child did not end in 30 s"))??)
    }

    /// The process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    fn signal(&self, signal: Signal) -> Result<(), Failure> {
        let pid = self.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let pid = pid.ok_or_else(|| Failure::new(format!("the child {} has ended", self.role)))?;
        Ok(kill_process(pid, signal)?)
    }
}

/// This program again; the kernel kills it with us where `setpriv` is there to ask for that.
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
