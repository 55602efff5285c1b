//! Elections: each term has one leader, terms rise, and every client can observe them.

use std::time::Duration;

use tooz_core::{Coordinator, Election, ErrorKind, Leader, Leadership, Observation};

use super::coordinators::{ids, pair, steady};
use super::fixtures::{PATIENCE, ends, eventually, fails, soon};
use crate::{Context, Failure, ensure, ensure_eq};

trials! { "election"
    NOTHING:
    the_first_candidate_leads,
    candidates_are_served_in_order,
    resigning_elects_the_next_candidate,
    dropping_the_leadership_resigns,
    try_campaign_does_not_wait,
    campaign_timeout_gives_up_and_leaves_nothing,
    a_deposed_leader_is_notified,
    observers_see_each_leader_in_order,
    observers_see_the_vacancy,
    the_election_of_a_group_has_its_name,
    a_campaign_that_is_dropped_is_withdrawn,
    closing_the_coordinator_ends_the_term;
}

async fn the_first_candidate_leads(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    ensure_eq!(b.election("e").leader().await?, None);
    let leadership = a.election("e").campaign().await?;
    ensure!(leadership.is_held());
    let leader = (a.member().clone(), leadership.term());
    let read = |leader: Leader| (leader.member, leader.term);
    ensure_eq!(b.election("e").leader().await?.map(read), Some(leader.clone()));
    ensure_eq!(a.election("e").leader().await?.map(read), Some(leader));
    ensure_eq!(b.election("other").leader().await?, None);
    Ok(())
}

/// Starts a campaign in the background and returns when it waits in the queue.
async fn candidate(
    coordinator: &Coordinator,
    place: usize,
) -> Result<tokio::task::JoinHandle<tooz_core::Result<Leadership>>, Failure> {
    let election = coordinator.election("e");
    let running = tokio::spawn(async move { election.campaign().await });
    has_candidates(&coordinator.election("e"), place).await?;
    Ok(running)
}

async fn has_candidates(election: &Election, waiters: usize) -> Result<(), Failure> {
    let there = async || Ok(election.inspect().await?.waiters.len() == waiters);
    Ok(eventually("the candidates wait in the queue", PATIENCE, there).await?)
}

async fn candidates_are_served_in_order(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let c = steady(&context, "c").await?;
    let mut leadership = a.election("e").campaign().await?;
    let candidates = [candidate(&c, 1).await?, candidate(&b, 2).await?, candidate(&a, 3).await?];
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    ensure_eq!(ids(&b.election("e").inspect().await?), (names(&["a"]), names(&["c", "b", "a"])));
    for (candidate, member) in candidates.into_iter().zip(["c", "b", "a"]) {
        let term = leadership.term();
        ensure!(!candidate.is_finished(), "{member} was elected while another leads");
        leadership.resign().await?;
        leadership = ends("the term of the next candidate", candidate).await?;
        ensure!(leadership.term() > term);
        let leader = b.election("e").leader().await?.map(|leader| leader.member.to_string());
        ensure_eq!(leader.as_deref(), Some(member));
    }
    Ok(())
}

async fn resigning_elects_the_next_candidate(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let first = a.election("e").campaign().await?;
    let term = first.term();
    first.resign().await?;
    ensure_eq!(b.election("e").leader().await?, None);
    let second = soon("a campaign without rivals", b.election("e").campaign()).await?;
    ensure!(second.term() > term);
    Ok(())
}

async fn dropping_the_leadership_resigns(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    drop(a.election("e").campaign().await?);
    drop(soon("a campaign after the leader was dropped", b.election("e").campaign()).await?);
    Ok(())
}

async fn try_campaign_does_not_wait(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let first = a.election("e").try_campaign().await?.expect("expected: try_campaign succeeds without a leader");
    ensure!(soon("the answer of try_campaign", b.election("e").try_campaign()).await?.is_none());
    ensure_eq!(a.election("e").inspect().await?.waiters.len(), 0);
    first.resign().await?;
    ensure!(b.election("e").try_campaign().await?.is_some());
    Ok(())
}

async fn campaign_timeout_gives_up_and_leaves_nothing(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let _first = a.election("e").campaign().await?;
    let attempt = b.election("e").campaign_timeout(Duration::from_millis(100)).await;
    fails(attempt, ErrorKind::Timeout);
    has_candidates(&a.election("e"), 0).await
}

async fn a_deposed_leader_is_notified(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let first = a.election("e").campaign().await?;
    let next = candidate(&b, 1).await?;
    let deposed = b.election("e").depose().await?;
    ensure_eq!(deposed.iter().map(|one| &one.member).collect::<Vec<_>>(), [a.member()]);
    ensure!(soon("the notification of the deposition", first.lost()).await.is_not_held());
    fails(first.run(async { Ok::<_, tooz_core::Error>(()) }).await, ErrorKind::NotHeld);
    ensure!(ends("the term of the next", next).await?.term() > first.term());
    fails(first.resign().await, ErrorKind::NotHeld);
    Ok(())
}

async fn next(observation: &mut Observation) -> Result<Option<String>, Failure> {
    let leader = soon("the next thing to observe", observation.next()).await?;
    Ok(leader.map(|leader| leader.member.to_string()))
}

async fn observers_see_each_leader_in_order(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let mut leadership = a.election("e").campaign().await?;
    let mut observation = b.election("e").observe();
    let first =
        soon("the present leader", observation.next()).await?.expect("expected: the observer sees the present leader");
    ensure_eq!((first.member, first.term), (a.member().clone(), leadership.term()));
    let mut term = first.term;
    for coordinator in [&b, &a, &b] {
        let candidate = candidate(coordinator, 1).await?;
        leadership.resign().await?;
        leadership = ends("the term of the next candidate", candidate).await?;
        let seen =
            soon("the next leader", observation.next()).await?.expect("expected: the observer sees the next leader");
        ensure_eq!((&seen.member, seen.term), (coordinator.member(), leadership.term()));
        ensure!(seen.term > term);
        term = seen.term;
    }
    Ok(())
}

async fn observers_see_the_vacancy(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let mut observation = b.election("e").observe();
    ensure_eq!(next(&mut observation).await?, None);
    for _ in 0..3 {
        let leadership = a.election("e").campaign().await?;
        ensure_eq!(next(&mut observation).await?.as_deref(), Some("a"));
        leadership.resign().await?;
        ensure_eq!(next(&mut observation).await?, None);
    }
    Ok(())
}

async fn the_election_of_a_group_has_its_name(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let leadership = a.group("g").election().campaign().await?;
    let leader = b.election("g").leader().await?;
    ensure_eq!(leader.map(|leader| leader.term), Some(leadership.term()));
    Ok(())
}

async fn a_campaign_that_is_dropped_is_withdrawn(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let leadership = a.election("e").campaign().await?;
    let given_up = candidate(&b, 1).await?;
    given_up.abort();
    has_candidates(&a.election("e"), 0).await?;
    leadership.resign().await?;
    ensure_eq!(a.election("e").leader().await?, None);
    Ok(())
}

async fn closing_the_coordinator_ends_the_term(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let leadership = a.election("e").campaign().await?;
    let next = candidate(&b, 1).await?;
    a.close().await;
    ensure!(soon("the notification of the loss", leadership.lost()).await.is_closed());
    drop(ends("the term of the next", next).await?);
    Ok(())
}
