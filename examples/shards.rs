//! Divides twenty shards among the members of a group by consistent hashing. Start several, and stop some: the shards move.

use std::time::Duration;

use tokio::time::sleep;
use tooz::{Capabilities, Coordinator, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let shutdown = tooz::shutdown()?;
    tooz::scope(tooz_examples::backend_url(), |coordinator| async move {
        shutdown.run_until_cancelled(work(&coordinator)).await.unwrap_or(Ok(()))
    })
    .await
}

async fn work(coordinator: &Coordinator) -> Result<()> {
    let group = coordinator.group("shards");
    group.create_if_missing().await?;
    // A member of weight 2 gets twice as many shards as one of weight 1.
    let _membership = group.join(Capabilities::from_iter([("weight", 1)])).await?;
    let partitioner = group.partitioner().await?;
    loop {
        let mine: Vec<_> = (0..20).filter(|shard| partitioner.belongs_to_me(format!("shard-{shard}"))).collect();
        println!("{} has {} of 20 shards: {mine:?}", coordinator.member(), mine.len());
        sleep(Duration::from_secs(1)).await;
    }
}
