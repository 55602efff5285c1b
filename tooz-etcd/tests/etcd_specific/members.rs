//! A cluster that loses one member after the other.

use std::time::Duration;

use tokio::time::timeout;
use tooz_conformance::{Context, ensure};
use tooz_core::Coordinator;

use super::{Outcome, PATIENCE};

/// Long enough for an election and unanswered requests: a member whose leader is frozen holds a renewal back for up to 7 s
/// before it asks the next leader.
const TTL: Duration = Duration::from_secs(20);

pub(crate) async fn any_member_may_be_killed(context: Context) -> Outcome {
    let clients = clients(&context).await?;
    for node in context.server()?.nodes() {
        node.kill().await?;
        take_turns(&clients, 6).await?;
        node.start().await?;
        context.server()?.ready().await?;
    }
    all_live(&clients)
}

pub(crate) async fn any_member_may_freeze(context: Context) -> Outcome {
    let clients = clients(&context).await?;
    for node in context.server()?.nodes() {
        node.pause().await?;
        take_turns(&clients, 6).await?;
        node.resume().await?;
        context.server()?.ready().await?;
    }
    all_live(&clients)
}

/// Several, since each begins at a random member.
async fn clients(context: &Context) -> Outcome<Vec<Coordinator>> {
    let mut clients = Vec::new();
    for member in ["a", "b", "c", "d"] {
        clients.push(context.builder(member).ttl(TTL).timeout(Duration::from_secs(2)).connect().await?);
    }
    Ok(clients)
}

/// The clients hold a lock in turns; all wait for it at the same time.
async fn take_turns(clients: &[Coordinator], rounds: usize) -> Outcome {
    let mut tasks = tokio::task::JoinSet::new();
    for client in clients {
        let lock = client.lock("lock");
        tasks.spawn(async move {
            for _ in 0..rounds {
                let guard = super::insist(|| lock.acquire()).await?;
                ensure!(guard.is_held(), "a guard was lost");
                // A release without an answer is finished in the background.
                match guard.release().await {
                    Err(error) if !error.is_retryable() => return Err(error.into()),
                    _ => {}
                }
            }
            Outcome::Ok(())
        });
    }
    while let Some(outcome) = timeout(PATIENCE * 2, tasks.join_next()).await? {
        outcome??;
    }
    Ok(())
}

fn all_live(clients: &[Coordinator]) -> Outcome {
    for client in clients {
        let state = format!("{:?}", client.state());
        ensure!(!state.contains("Lost"), "{} has lost its session", client.member());
    }
    Ok(())
}
