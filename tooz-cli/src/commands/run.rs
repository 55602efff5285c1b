//! `tooz run`: runs a command under a lock or a permit of a semaphore.

use std::time::Duration;

use clap::Args;
use tooz::{Coordinator, Guard};

use super::held::Held;
use crate::arguments::{duration, semaphore};
use crate::backend::Backend;
use crate::child::{CommandOptions, Runner};
use crate::exit::{CONFLICT, Failure, Result};

/// Runs a command while a lock is held.
///
/// The command runs in a process group of its own, receives the signals that tooz receives, and is killed before
/// another client can hold the lock. The lock is released when the command and all processes of its group are gone.
#[derive(Args, Debug)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Run {
    /// The name of the lock.
    #[arg(required_unless_present = "semaphore")]
    name: Option<String>,
    /// Takes the lock in exclusive mode. This is the default.
    #[arg(long, conflicts_with_all = ["shared", "semaphore"])]
    lock: bool,
    /// Takes the lock in shared mode, together with other clients in shared mode.
    #[arg(long, conflicts_with = "semaphore")]
    shared: bool,
    /// Takes a permit of this semaphore instead of a lock. All users must give the same number of permits.
    #[arg(long, value_parser = semaphore, value_name = "NAME:N", conflicts_with = "name")]
    semaphore: Option<(String, u32)>,
    /// Waits at most this long. Default: for as long as it takes.
    #[arg(long, value_parser = duration, value_name = "TIME", conflicts_with = "no_wait")]
    wait: Option<Duration>,
    /// Gives up at once if the lock is not free.
    #[arg(long)]
    no_wait: bool,
    /// The exit code if the lock was not granted in time.
    #[arg(short = 'E', long, value_name = "N", default_value_t = CONFLICT)]
    conflict_exit_code: u8,
    #[command(flatten)]
    command: CommandOptions,
}

/// The exit codes of the commands that run a command.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  the command's own, or 128 and the number of the signal that ended it
  2    the arguments are wrong
  69   the backend cannot be reached, or refuses
  75   the lock was not granted in time; -E chooses another code
  76   the lock was lost, or about to be lost, and tooz ended the command
  125  tooz itself failed
  126  the command cannot be executed
  127  there is no such command";

impl Run {
    /// In the runner: acquires, runs the command, releases.
    pub(crate) async fn run(&self, backend: &Backend, foreground: bool) -> Result<u8> {
        let runner = Runner::start(&self.command, foreground)?;
        let coordinator = runner.unless_stopped(backend.connect()).await??;
        let outcome = self.hold_and_run(&runner, &coordinator).await;
        super::held::close(&coordinator, outcome.is_err()).await;
        outcome
    }

    async fn hold_and_run(&self, runner: &Runner, coordinator: &Coordinator) -> Result<u8> {
        match runner.unless_stopped(self.acquire(coordinator)).await?? {
            Some(guard) => Held(guard).run(runner).await,
            None => Err(Failure::new(self.conflict_exit_code, "")),
        }
    }

    /// Returns `None` if it is not granted in time.
    async fn acquire(&self, coordinator: &Coordinator) -> Result<Option<Guard>> {
        let limit = if self.no_wait { Some(Duration::ZERO) } else { self.wait };
        let outcome = match &self.semaphore {
            Some((name, permits)) => {
                let semaphore = coordinator.semaphore(name, *permits);
                match limit {
                    Some(limit) => semaphore.acquire_timeout(limit).await,
                    None => semaphore.acquire().await,
                }
            }
            None => {
                let lock = coordinator.lock(self.name.as_deref().unwrap_or_default());
                let lock = if self.shared { lock.shared() } else { lock };
                match limit {
                    Some(limit) => lock.acquire_timeout(limit).await,
                    None => lock.acquire().await,
                }
            }
        };
        match outcome {
            Err(error) if error.is_timeout() => Ok(None),
            outcome => Ok(Some(outcome?)),
        }
    }
}
