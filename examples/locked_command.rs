//! Runs a command while it holds a lock: `cargo run --example locked_command -- sleep 10`. Start it twice: the second one waits.
//! The command is killed if the lock is lost or this process is asked to end.

use std::error::Error;
use std::process::ExitCode;

use tokio::process::Command;

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    let shutdown = tooz::shutdown()?;
    let mut words = std::env::args().skip(1);
    let program = words.next().ok_or("name a command")?;
    tooz::scope(tooz_examples::backend_url(), |coordinator| async move {
        let work = async {
            let guard = coordinator.lock("locked-command").acquire().await?;
            let mut child = Command::new(program).args(words).kill_on_drop(true).spawn()?;
            guard.run(async { Ok(child.wait().await?) }).await
        };
        match shutdown.run_until_cancelled(work).await.transpose()? {
            Some(status) => Ok(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1).into()),
            None => Ok(ExitCode::FAILURE),
        }
    })
    .await
}
