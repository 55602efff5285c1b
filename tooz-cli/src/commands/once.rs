//! `tooz once`: runs a command once in a period, over all hosts.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio_util::sync::CancellationToken;
use tooz::{Coordinator, Guard, Period};

use super::held::close;
use super::run::EXIT_CODES;
use crate::arguments::duration;
use crate::backend::Backend;
use crate::child::{CommandOptions, Runner};
use crate::exit::{Failure, Result};

/// Runs a command unless this period has had its run already, on whichever host.
///
/// Periods are counted from 1970 in UTC, so with --every 1h each full hour begins one. The start is recorded before the
/// command runs: a command that fails or crashes is not repeated in its period. While another host runs the command,
/// tooz waits for it.
#[derive(Args, Debug)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Once {
    /// The name of the job: that of the lock which its runs hold.
    name: String,
    /// The length of a period.
    #[arg(long, value_parser = duration, value_name = "TIME")]
    every: Duration,
    /// Stays, and runs the command in each further period too, until the command fails or a signal comes.
    #[arg(long)]
    repeat: bool,
    /// Holds the lock for at least this long, which should exceed the difference between the clocks of the hosts.
    #[arg(long, value_parser = duration, value_name = "TIME")]
    at_least: Option<Duration>,
    /// Kills the command after this time.
    #[arg(long, value_parser = duration, value_name = "TIME")]
    at_most: Option<Duration>,
    /// The exit code if this period has had its run.
    #[arg(short = 'E', long, value_name = "N", default_value_t = 0)]
    not_due_exit_code: u8,
    #[command(flatten)]
    command: CommandOptions,
}

impl Once {
    /// In the runner.
    pub(crate) async fn run(&self, backend: &Backend, foreground: bool) -> Result<u8> {
        let runner = Runner::start(&self.command, foreground)?;
        let coordinator = runner.unless_stopped(backend.connect()).await??;
        let outcome = runner.unless_stopped(self.run_when_due(&runner, &coordinator)).await.flatten();
        close(&coordinator, outcome.is_err()).await;
        outcome
    }

    async fn run_when_due(&self, runner: &Runner, coordinator: &Coordinator) -> Result<u8> {
        let (lock, code) = (coordinator.lock(&self.name), Cell::new(0));
        let job = async |guard: Arc<Guard>| {
            code.set(runner.run(&guard).await?);
            match self.repeat && code.get() != 0 {
                true => Err(Failure::new(code.get(), "")),
                false => Ok(()),
            }
        };
        if self.repeat {
            lock.once_per(self.period(), &CancellationToken::new(), job).await?;
            return Ok(code.get());
        }
        let has_run = lock.once_in(self.period(), job).await?;
        Ok(if has_run { code.get() } else { self.not_due_exit_code })
    }

    fn period(&self) -> Period {
        let period = Period::new(self.every).with_least_hold(self.at_least.unwrap_or_default());
        self.at_most.map_or(period, |time| period.with_greatest_hold(time))
    }
}
