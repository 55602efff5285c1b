//! One leader works; when it resigns or dies, the next candidate takes over. Start several, and kill the leader.

use std::time::Duration;

use tokio::time::sleep;
use tooz_core::{FencingToken, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let coordinator = tooz_examples::connect().await?;
    let election = coordinator.election("leader-example");
    let mut observation = election.observe();
    let following = tokio::spawn(async move {
        while let Ok(leader) = observation.next().await {
            match leader {
                Some(leader) => println!("  leader: {} in term {}", leader.member, leader.term),
                None => println!("  no leader at the moment"),
            }
        }
    });

    println!("{} campaigns.", coordinator.member());
    let leadership = election.campaign().await?;
    // The work ends with the leadership, whatever the reason.
    match leadership.run(lead(leadership.term())).await {
        Ok(()) => leadership.resign().await?,
        Err(cause) => println!("The leadership was lost: {cause}"),
    }
    coordinator.close().await;
    following.abort();
    Ok(())
}

async fn lead(term: FencingToken) -> Result<()> {
    for second in 1..=5 {
        println!("I lead in term {term}, second {second} of 5.");
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}
