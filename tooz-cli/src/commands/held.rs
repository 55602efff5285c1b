//! Running the command while something is held, and releasing it afterwards.

use std::time::Duration;

use tokio::time::timeout;
use tooz::{Coordinator, Guard};

use crate::child::Runner;
use crate::exit::{Failure, LOST, Result};
use crate::output::say;

/// How long a session that is of no more use may take to close. What it held ends by its TTL anyway.
const CLOSE: Duration = Duration::from_secs(1);

/// A guard under which the command runs.
#[derive(Debug)]
pub(crate) struct Held(pub(crate) Guard);

impl Held {
    /// Runs the command, and releases the guard when the command and its process group are gone.
    pub(crate) async fn run(self, runner: &Runner) -> Result<u8> {
        let code = runner.run(&self.0).await?;
        let was_held = self.0.is_held();
        match self.0.release().await {
            Ok(()) => Ok(code),
            Err(error) if was_held && !error.is_not_held() => {
                say("warning", format!("the command has ended, but the lock stays held until its TTL: {error}"));
                Ok(code)
            }
            Err(error) => {
                let text = format!("the lock was lost before the command ended: {error}");
                match runner.only_warns() {
                    true => {
                        say("warning", text);
                        Ok(code)
                    }
                    false => Err(Failure::new(LOST, text)),
                }
            }
        }
    }
}

/// Ends the session, in a short time if it has failed.
pub(crate) async fn close(coordinator: &Coordinator, has_failed: bool) {
    match has_failed {
        true => drop(timeout(CLOSE, coordinator.close()).await),
        false => coordinator.close().await,
    }
}
