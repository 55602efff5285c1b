//! One process leads for five seconds and resigns. Start several, and kill the leader: another one takes over.

use std::time::Duration;

use tokio::time::sleep;
use tooz::{Coordinator, FencingToken, Observation, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let coordinator = tooz_examples::connect().await?;
    let observer = tokio::spawn(print_leaders(coordinator.election("leader-example").observe()));
    let outcome = campaign_and_lead(&coordinator).await;
    observer.abort();
    coordinator.close().await;
    outcome
}

async fn campaign_and_lead(coordinator: &Coordinator) -> Result<()> {
    println!("{} is a candidate.", coordinator.member());
    let leadership = coordinator.election("leader-example").campaign().await?;
    // `run` cancels the work as soon as the leadership is lost.
    match leadership.run(lead(leadership.term())).await {
        Ok(()) => leadership.resign().await,
        Err(loss) => {
            println!("Lost the leadership: {loss}");
            Ok(())
        }
    }
}

async fn lead(term: FencingToken) -> Result<()> {
    for second in 1..=5 {
        println!("This process leads in term {term}, second {second} of 5.");
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

async fn print_leaders(mut observation: Observation) {
    while let Ok(leader) = observation.next().await {
        match leader {
            Some(leader) => println!("  observed: {} leads in term {}", leader.member, leader.term),
            None => println!("  observed: no leader at the moment"),
        }
    }
}
