//! `tooz lead`: runs a command while this client leads an election.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tooz::{Coordinator, Leadership};

use super::held::close;
use super::run::EXIT_CODES;
use crate::backend::Backend;
use crate::child::{CommandOptions, Runner};
use crate::exit::{Failure, LOST, Result};

/// The pause between two questions whether the backend answers again.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs a command while this client is the leader of an election, and again whenever it is elected again.
///
/// When the command ends by itself, the leadership is resigned, and tooz ends with the exit code of the command. If the
/// leadership is lost, the command is ended, and tooz waits to be elected again.
#[derive(Args, Debug)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Lead {
    /// The name of the election.
    name: String,
    #[command(flatten)]
    command: CommandOptions,
}

impl Lead {
    /// In the runner.
    pub(crate) async fn run(&self, backend: &Backend, foreground: bool) -> Result<u8> {
        let runner = Runner::start(&self.command, foreground)?;
        let coordinator = runner.unless_stopped(backend.connect()).await??;
        let outcome = self.lead(&runner, &coordinator).await;
        close(&coordinator, outcome.is_err()).await;
        outcome
    }

    /// Returns the exit code of the command when it has ended by itself.
    async fn lead(&self, runner: &Runner, coordinator: &Coordinator) -> Result<u8> {
        let (election, never) = (coordinator.election(&self.name), CancellationToken::new());
        let code = Cell::new(0);
        let work = async |leadership: Arc<Leadership>| {
            code.set(serve(runner, &leadership).await?);
            Ok::<_, Failure>(())
        };
        runner.unless_stopped(election.lead(&never, work)).await??;
        Ok(code.get())
    }
}

/// Runs the command for one term. The library drops this future when the leadership is lost.
async fn serve(runner: &Runner, leadership: &Leadership) -> Result<u8> {
    loop {
        match runner.run(leadership).await {
            // The command was ended because a loss was near. It starts again if the backend answers before the loss.
            Err(failure) if failure.code == LOST => {
                while leadership.verify().await.is_err() {
                    sleep(PAUSE).await;
                }
            }
            ended => return ended,
        }
    }
}
