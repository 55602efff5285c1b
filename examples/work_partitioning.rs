//! Divides twenty objects among the members of a group by consistent hashing. Start several: the objects move.

use std::time::Duration;

use tokio::time::sleep;
use tooz::{Capabilities, Coordinator, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let coordinator = tooz_examples::connect().await?;
    let outcome = print_share(&coordinator).await;
    coordinator.close().await;
    outcome
}

async fn print_share(coordinator: &Coordinator) -> Result<()> {
    let group = coordinator.group("partitioning-example");
    group.create_if_missing().await?;
    // A member of weight 2 gets twice as many objects as one of weight 1.
    let membership = group.join(Capabilities::from_iter([("weight", 1)])).await?;
    let partitioner = group.partitioner().await?;
    for _ in 0..10 {
        let share: Vec<_> = (0..20).filter(|object| partitioner.belongs_to_me(format!("object-{object}"))).collect();
        println!("This member has {} of 20 objects: {share:?}", share.len());
        sleep(Duration::from_secs(1)).await;
    }
    membership.leave().await
}
