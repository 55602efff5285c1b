//! A job that runs once in ten seconds over all replicas. Start several: each run happens in one of them.

use std::time::Duration;

use tooz::{FencingToken, Period, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let shutdown = tooz::shutdown()?;
    // A run that takes longer is dropped. The next run starts no sooner than one second after this one.
    let period = Period::new(Duration::from_secs(10));
    let period = period.with_least_hold(Duration::from_secs(1)).with_greatest_hold(Duration::from_secs(9));
    tooz::scope(tooz_examples::backend_url(), |coordinator| async move {
        coordinator.lock("report").once_per(period, &shutdown, |guard| report(guard.fencing_token())).await
    })
    .await
}

async fn report(token: FencingToken) -> Result<()> {
    println!("The report of these ten seconds, with fencing token {token}.");
    Ok(())
}
