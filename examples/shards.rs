//! Divides twenty shards among the members of a group. Start several, and stop some: the shards move. A shard has one owner at
//! a time, which finishes its work before the shard moves.

use std::time::Duration;

use tooz::{Assignment, AssignmentEvent, Capabilities, Coordinator, Result};

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
    let shards = (0..20).map(|number| format!("shard-{number}"));
    let mut assignments = group.assignments(shards, Duration::from_secs(30)).await?;
    while let Some(event) = assignments.next().await.transpose()? {
        if let AssignmentEvent::Assigned(shard) = event {
            tokio::spawn(serve(shard));
        }
    }
    Ok(())
}

async fn serve(shard: Assignment) {
    println!("{} is ours, with token {}", shard.key(), shard.fencing_token());
    shard.revoked().await;
    println!("{} goes to another member", shard.key()); // when it is dropped here
}
