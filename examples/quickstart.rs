//! Everything once: a group, an election, a lock and a topic. Start it in two terminals and watch them take turns.
//!
//! `cargo run --example quickstart`, or with a server: `TOOZ_BACKEND=redis://127.0.0.1:6379 cargo run -p tooz-examples
//! --features redis --example quickstart`

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tooz_core::{Capabilities, Coordinator, ErrorKind, Result, StartAt};

const ROUNDS: u32 = 5;

#[tokio::main]
async fn main() -> Result<()> {
    let coordinator = tooz_examples::connect().await?;
    let url: tooz_core::ServiceUrl = tooz_examples::backend().parse()?;
    println!("Connected to {url} as member \"{}\".", coordinator.member());

    let group = coordinator.group("quickstart");
    group.create_if_missing().await?;
    let membership = group.join(Capabilities::from_iter([("language", "Rust")])).await?;
    let members = group.members().await?;
    println!("Joined the group \"quickstart\", which has {} member(s) now:", members.len());
    for member in &members {
        let me = if member.id() == coordinator.member() { "  <- me" } else { "" };
        println!("  {}{me}", member.id());
    }

    let election = group.election();
    let leadership = election.try_campaign().await?;
    match (&leadership, election.leader().await?) {
        (Some(leadership), _) => println!("Elected: I lead the group in term {}.", leadership.term()),
        (None, Some(leader)) => println!("Not elected: {} leads in term {}.", leader.member, leader.term),
        (None, None) => println!("Not elected, but the leader has just resigned."),
    }

    let topic = coordinator.topic("quickstart");
    let mut inbox = topic.subscribe(StartAt::Latest).await?;
    for round in 1..=ROUNDS {
        take_a_turn(&coordinator, round).await?;
    }

    topic.publish(format!("{} is done", coordinator.member()).as_bytes()).await?;
    let message = inbox.next().await?;
    println!("Published a message and received: \"{}\".", String::from_utf8_lossy(&message.payload));

    if let Some(leadership) = leadership {
        leadership.resign().await?;
        println!("Resigned the leadership.");
    }
    membership.leave().await?;
    coordinator.close().await;
    println!("Left the group and disconnected. Nothing of me is left behind.");
    Ok(())
}

/// Works for half a second under the lock, which one process holds at a time.
async fn take_a_turn(coordinator: &Coordinator, round: u32) -> Result<()> {
    let asked = Instant::now();
    let guard = match coordinator.lock("quickstart").acquire_timeout(Duration::from_secs(5)).await {
        Err(error) if error.kind() == ErrorKind::Timeout => {
            println!("Round {round}: somebody else held the lock for 5 s, so I skip it.");
            return Ok(());
        }
        guard => guard?,
    };
    println!(
        "Round {round}/{ROUNDS}: got the lock after {} ms, fencing token {}; working ...",
        asked.elapsed().as_millis(),
        guard.fencing_token()
    );
    // Should the lock be lost meanwhile, the work is cancelled at once.
    guard.run(work()).await?;
    guard.release().await
}

async fn work() -> Result<()> {
    sleep(Duration::from_millis(500)).await;
    Ok(())
}
