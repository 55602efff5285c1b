//! A queue of jobs. Every process publishes some, and the elected one works. After a crash the next one continues with the
//! first job that is not recorded as done, so a job runs at least once.

use std::time::Duration;

use tokio::time::sleep;
use tooz::{Coordinator, Offset, Result, StartAt};

#[tokio::main]
async fn main() -> Result<()> {
    let shutdown = tooz::shutdown()?;
    tooz::scope(tooz_examples::backend_url(), |coordinator| async move {
        for number in 1..=5 {
            let job = format!("job {number} of {}", coordinator.member());
            coordinator.topic("jobs").keep(10_000).publish(job.as_bytes()).await?;
        }
        coordinator.election("job-worker").lead(&shutdown, |_| work(coordinator.clone())).await
    })
    .await
}

async fn work(coordinator: Coordinator) -> Result<()> {
    let done = coordinator.topic("jobs-done").keep(1);
    let last = done.newest().await?.and_then(|message| String::from_utf8(message.payload).ok()?.parse().ok());
    let mut jobs = coordinator.topic("jobs").subscribe(StartAt::After(Offset(last.unwrap_or(0)))).await?;
    loop {
        let job = jobs.next().await?;
        println!("{}: {}", job.offset, String::from_utf8_lossy(&job.payload));
        sleep(Duration::from_secs(1)).await;
        done.publish(job.offset.to_string().as_bytes()).await?;
    }
}
