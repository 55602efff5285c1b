//! Runs a command while it holds a lock: `cargo run --example locked_command -- sleep 10`. Start it twice: the second one waits.
//! The command is killed if the lock is lost or this process is asked to end.

use std::error::Error;
use std::process::ExitCode;

use tokio::process::Command;
use tooz::Coordinator;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<ExitCode, Failure> {
    let shutdown = tooz::shutdown()?;
    let mut words = std::env::args().skip(1);
    let mut command = Command::new(words.next().ok_or("name a command")?);
    command.args(words).kill_on_drop(true);
    tooz::scope(tooz_examples::backend_url(), |coordinator| async move {
        shutdown.run_until_cancelled(run(&coordinator, command)).await.unwrap_or(Ok(ExitCode::FAILURE))
    })
    .await
}

async fn run(coordinator: &Coordinator, mut command: Command) -> Result<ExitCode, Failure> {
    let guard = coordinator.lock("locked-command").acquire().await?;
    let mut child = command.spawn()?;
    let status = guard.run(async { Ok::<_, Failure>(child.wait().await?) }).await?;
    Ok(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1).into())
}
