//! A lock, a group, an election and a topic. Start it in two terminals: the two processes take turns with the lock.
//!
//! `cargo run --example quickstart`, or with a server:
//! `TOOZ_BACKEND=redis://127.0.0.1:6379 cargo run -p tooz-examples --features redis --example quickstart`

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tooz::{Capabilities, Coordinator, ErrorKind, Result, ServiceUrl, StartAt};

const ROUNDS: u32 = 5;

#[tokio::main]
async fn main() -> Result<()> {
    let url: ServiceUrl = tooz_examples::backend_url().parse()?; // prints without a password
    tooz::scope(tooz_examples::backend_url(), |coordinator| async move {
        println!("Connected to {url} as member \"{}\".", coordinator.member());
        tour(&coordinator).await
    })
    .await?;
    println!("Disconnected. The backend keeps no lock and no membership of this process.");
    Ok(())
}

async fn tour(coordinator: &Coordinator) -> Result<()> {
    let group = coordinator.group("quickstart");
    group.create_if_missing().await?;
    let membership = group.join(Capabilities::from_iter([("language", "Rust")])).await?;
    println!("Joined the group \"quickstart\". Its members:");
    for member in group.members().await? {
        let this_process = if member.id() == coordinator.member() { " (this process)" } else { "" };
        println!("  {}{this_process}", member.id());
    }

    let election = group.election();
    let leadership = election.try_campaign().await?;
    match (&leadership, election.leader().await?) {
        (Some(leadership), _) => println!("Elected: this process leads in term {}.", leadership.term()),
        (None, Some(leader)) => println!("Not elected: {} leads in term {}.", leader.member, leader.term),
        (None, None) => println!("Not elected: the leader has just resigned."),
    }

    for round in 1..=ROUNDS {
        work_under_lock(coordinator, round).await?;
    }

    let topic = coordinator.topic("quickstart");
    let mut subscription = topic.subscribe(StartAt::Latest).await?;
    topic.publish(format!("{} has finished", coordinator.member()).as_bytes()).await?;
    let message = subscription.next().await?;
    println!("Published a message and received \"{}\".", String::from_utf8_lossy(&message.payload));

    if let Some(leadership) = leadership {
        leadership.resign().await?;
        println!("Resigned the leadership.");
    }
    membership.leave().await
}

/// Works for half a second under a lock that one process holds at a time.
async fn work_under_lock(coordinator: &Coordinator, round: u32) -> Result<()> {
    let start = Instant::now();
    let guard = match coordinator.lock("quickstart").acquire_timeout(Duration::from_secs(5)).await {
        Err(error) if error.kind() == ErrorKind::Timeout => {
            println!("Round {round}/{ROUNDS}: another process held the lock for 5 s; skipping this round.");
            return Ok(());
        }
        result => result?,
    };
    let waited = start.elapsed().as_millis();
    println!("Round {round}/{ROUNDS}: acquired the lock after {waited} ms, fencing token {}.", guard.fencing_token());
    // `run` cancels the work as soon as the lock is lost.
    guard.run(work()).await?;
    guard.release().await
}

async fn work() -> Result<()> {
    sleep(Duration::from_millis(500)).await;
    Ok(())
}
