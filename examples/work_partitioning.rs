//! Twenty objects divided among the members by consistent hashing. Start several: the objects move by themselves.

use std::time::Duration;

use tokio::time::sleep;
use tooz_core::{Capabilities, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let coordinator = tooz_examples::connect().await?;
    let group = coordinator.group("partitioning-example");
    group.create_if_missing().await?;
    // A member with weight 2 is given twice as many objects.
    let membership = group.join(Capabilities::from_iter([("weight", 1)])).await?;
    let partitioner = group.partitioner().await?;
    for _ in 0..10 {
        let mine: Vec<_> = (0..20).filter(|object| partitioner.belongs_to_me(format!("object-{object}"))).collect();
        println!("{} of 20 objects are mine: {mine:?}", mine.len());
        sleep(Duration::from_secs(1)).await;
    }
    membership.leave().await?;
    coordinator.close().await;
    Ok(())
}
