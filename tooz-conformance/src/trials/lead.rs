//! Working while a client leads: campaigns, losses, resignations and the shutdown.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tooz_core::{CancellationToken, Coordinator, Error, ErrorKind, Leadership, Result};

use super::coordinators::{pair, steady};
use super::fixtures::{PATIENCE, ends, eventually, fails, not_now, soon};
use crate::{Context, Failure, ensure, ensure_eq};

trials! { "lead"
    NOTHING:
    one_client_works_at_a_time_and_hands_over_at_the_shutdown,
    after_a_loss_it_campaigns_and_works_again,
    work_that_ends_resigns_and_returns_its_result,
    a_shutdown_while_it_campaigns_leaves_no_candidate,
    dropping_it_resigns,
    closing_the_coordinator_ends_it;
}

/// A client that leads in the background and reports each of its terms.
struct Leader {
    shutdown: CancellationToken,
    terms: mpsc::UnboundedReceiver<Arc<Leadership>>,
    task: JoinHandle<Result<()>>,
}

impl Leader {
    fn start(coordinator: &Coordinator) -> Self {
        let (sender, terms) = mpsc::unbounded_channel();
        let (election, shutdown) = (coordinator.election("e"), CancellationToken::new());
        let token = shutdown.clone();
        let work = move |leadership: Arc<Leadership>| {
            let _ = sender.send(leadership);
            std::future::pending::<Result<()>>()
        };
        let task = tokio::spawn(async move { election.lead(&token, work).await });
        Self { shutdown, terms, task }
    }

    async fn next_term(&mut self) -> Arc<Leadership> {
        soon("the next term", self.terms.recv()).await.expect("expected: the client still leads or campaigns")
    }
}

async fn one_client_works_at_a_time_and_hands_over_at_the_shutdown(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let mut first = Leader::start(&a);
    let term = first.next_term().await;
    ensure!(term.is_held());
    let mut second = Leader::start(&b);
    not_now("a second leader", second.terms.recv()).await;
    first.shutdown.cancel();
    let next = second.next_term().await;
    ensure!(next.term() > term.term() && !term.is_held());
    ends("the first leader", first.task).await?;
    second.shutdown.cancel();
    ends("the second leader", second.task).await?;
    ensure_eq!(a.election("e").leader().await?, None);
    Ok(())
}

async fn after_a_loss_it_campaigns_and_works_again(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let mut leader = Leader::start(&a);
    let first = leader.next_term().await;
    ensure_eq!(b.election("e").depose().await?.len(), 1);
    soon("the loss", first.lost()).await;
    let second = leader.next_term().await;
    ensure!(second.is_held() && second.term() > first.term());
    leader.shutdown.cancel();
    ends("the leader", leader.task).await?;
    Ok(())
}

async fn work_that_ends_resigns_and_returns_its_result(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let never = CancellationToken::new();
    soon("the end of the work", a.election("e").lead(&never, |_| async { Ok::<(), Error>(()) })).await?;
    ensure_eq!(b.election("e").leader().await?, None);
    let failing = |_| async { Err(Error::new(ErrorKind::Corrupt, "the work failed")) };
    fails(soon("the end of the work", b.election("e").lead(&never, failing)).await, ErrorKind::Corrupt);
    ensure_eq!(a.election("e").leader().await?, None);
    Ok(())
}

async fn a_shutdown_while_it_campaigns_leaves_no_candidate(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let leadership = b.election("e").campaign().await?;
    let leader = Leader::start(&a);
    eventually("it campaigns", PATIENCE, async || Ok(!b.election("e").inspect().await?.waiters.is_empty())).await?;
    leader.shutdown.cancel();
    ends("the campaign", leader.task).await?;
    eventually("no candidate is left", PATIENCE, async || Ok(b.election("e").inspect().await?.waiters.is_empty()))
        .await?;
    leadership.resign().await?;
    Ok(())
}

async fn dropping_it_resigns(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let mut leader = Leader::start(&a);
    drop(leader.next_term().await);
    leader.task.abort();
    drop(soon("the next leadership", b.election("e").campaign()).await?);
    Ok(())
}

async fn closing_the_coordinator_ends_it(context: Context) -> Result<(), Failure> {
    let a = steady(&context, "a").await?;
    let mut leader = Leader::start(&a);
    let _term = leader.next_term().await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    a.close().await;
    fails(ends("the leader", leader.task).await, ErrorKind::Closed);
    Ok(())
}
