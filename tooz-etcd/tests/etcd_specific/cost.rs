//! What the verbs cost, as the server counts the requests.

use std::collections::{BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::GetOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tooz_conformance::{Context, Failure, ensure};
use tooz_core::Name;
use tooz_core::driver::{IfBlocked, NewEntry, Roster, Session, Standing};

use super::{Outcome, PATIENCE, exclusive, hold, lock, operator, wait};

/// How often each of etcd's methods was called; for a stream, how many messages came.
#[derive(Debug)]
struct Calls(String);

impl Calls {
    async fn now(context: &Context) -> Outcome<Self> {
        let address = context.url().trim_start_matches("etcd://");
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await?;
        Ok(Self(reply))
    }

    fn of(&self, method: &str) -> u64 {
        let name = format!("grpc_server_msg_received_total{{grpc_method=\"{method}\",");
        let line = self.0.lines().find(|line| line.starts_with(&name));
        // Missing until the first call.
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or_default() as u64
    }

    /// Transactions since `before`. There must be no other requests, except watches and renewals.
    fn transactions_since(&self, before: &Self) -> Outcome<u64> {
        for method in ["Range", "Put", "DeleteRange", "LeaseTimeToLive"] {
            ensure!(self.of(method) == before.of(method), "{method} was called");
        }
        Ok(self.of("Txn") - before.of("Txn"))
    }
}

pub(crate) async fn each_verb_of_a_lock_is_one_transaction(context: Context) -> Outcome {
    // Nothing renews these sessions.
    let context = context.with_ttl(Duration::from_secs(120));
    let (session, other, roster) = (context.session("a").await?, context.session("b").await?, lock());
    let before = Calls::now(&context).await?;
    for _ in 0..50 {
        let ticket = hold(&*session).await?;
        ensure!(session.leave(&roster, &ticket).await?, "it was held");
    }
    let pairs = Calls::now(&context).await?;
    let spent = pairs.transactions_since(&before)?;
    ensure!(spent == 100, "50 pairs took {spent} transactions");

    hold(&*other).await?;
    let before = Calls::now(&context).await?;
    for _ in 0..50 {
        let attempt = session.enter(&roster, NewEntry { if_blocked: IfBlocked::Withdraw, ..exclusive() }).await?;
        ensure!(matches!(attempt, Standing::Withdrawn { .. }), "a held lock was tried: {attempt:?}");
    }
    let spent = Calls::now(&context).await?.transactions_since(&before)?;
    ensure!(spent == 50, "50 tries took {spent} transactions");
    let left = other.snapshot(&roster, None).await?.entries.len();
    ensure!(left == 1, "the tries left {left} entries");
    Ok(())
}

/// From the release to the grant: the release and an event if no other entry was before the waiter, else also a read. The
/// waiters behind it do nothing.
pub(crate) async fn a_hand_over_is_a_transaction_an_event_and_a_read(context: Context) -> Outcome {
    // Nothing renews these sessions.
    let context = context.with_ttl(Duration::from_secs(120));
    let (holder, roster) = (context.session("holder").await?, lock());
    let mut held = hold(&*holder).await?;
    let (mut waiters, mut waiting) = (Vec::new(), Vec::new());
    for name in ["a", "b", "c"] {
        let waiter = context.session(name).await?;
        waiting.push(wait(&*waiter).await?);
        waiters.push(waiter);
    }
    let turns: Vec<_> = waiters
        .into_iter()
        .zip(waiting.clone())
        .map(|(waiter, ticket)| {
            let roster = roster.clone();
            tokio::spawn(async move { waiter.await_turn(&roster, &ticket).await.map(|()| waiter) })
        })
        .collect();
    // Until all watches have begun and were checked once.
    sleep(Duration::from_secs(1)).await;
    let mut owner = holder;
    for ((turn, ticket), most) in turns.into_iter().zip(waiting).zip([1, 2, 2]) {
        let before = Calls::now(&context).await?;
        ensure!(owner.leave(&roster, &held).await?, "it was held");
        owner = timeout(PATIENCE, turn).await???;
        sleep(Duration::from_millis(200)).await;
        let spent = Calls::now(&context).await?.transactions_since(&before)?;
        ensure!(spent <= most, "a hand-over took {spent} transactions");
        held = ticket;
    }
    Ok(())
}

/// Until a compaction, etcd passes all keys of a range that ever were. A key of its own for each acquisition would make each
/// dearer than the one before.
pub(crate) async fn no_lock_leaves_more_than_a_key_behind(context: Context) -> Outcome {
    let (coordinator, name) = (context.coordinator("a").await?, "often");
    for _ in 0..100 {
        coordinator.lock(name).acquire().await?.release().await?;
    }
    let (mut client, mut keys) = (operator(&context).await?, BTreeSet::new());
    let newest = client.get("none", None).await?.header().map_or(0, |header| header.revision());
    for revision in 1..=newest {
        let at = GetOptions::new().with_prefix().with_keys_only().with_revision(revision);
        let found = client.get(format!("/{}/lock/{name}/", context.namespace()), Some(at)).await?;
        keys.extend(found.kvs().iter().map(|stored| stored.key().to_vec()));
    }
    ensure!(keys.len() == 1, "100 acquisitions used {} keys", keys.len());
    coordinator.close().await;
    Ok(())
}

/// The counts once all watches have begun and were checked.
async fn when_quiet(context: &Context) -> Outcome<Calls> {
    let mut before = Calls::now(context).await?;
    loop {
        sleep(Duration::from_secs(1)).await;
        let now = Calls::now(context).await?;
        let quiet = now.transactions_since(&before)? == 0;
        before = now;
        if quiet {
            return Ok(before);
        }
    }
}

pub(crate) async fn a_release_wakes_one_of_a_thousand_waiters(context: Context) -> Outcome {
    // Nothing renews these sessions.
    let context = context.with_ttl(Duration::from_secs(120));
    let (holder, waiters, roster) = (context.session("holder").await?, context.session("waiters").await?, lock());
    let (held, waiters) = (hold(&*holder).await?, Arc::<dyn Session>::from(waiters));
    let mut first = None;
    for _ in 0..1000 {
        let (ticket, waiters, roster) = (wait(&*waiters).await?, waiters.clone(), roster.clone());
        let turn = tokio::spawn(async move { waiters.await_turn(&roster, &ticket).await });
        first.get_or_insert(turn);
    }
    let before = when_quiet(&context).await?;
    ensure!(holder.leave(&roster, &held).await?, "it was held");
    timeout(PATIENCE, first.ok_or_else(|| Failure::new("there is no waiter"))?).await???;
    sleep(Duration::from_millis(500)).await;
    let spent = Calls::now(&context).await?.transactions_since(&before)?;
    ensure!(spent <= 2, "a release before 1,000 waiters took {spent} transactions");
    Ok(())
}

pub(crate) async fn one_message_renews_any_number_of_locks(context: Context) -> Outcome {
    // The locks are entered without renewals.
    let session = context.with_ttl(Duration::from_secs(120)).session("a").await?;
    let renewals = async |count: u64| {
        let before = Calls::now(&context).await?.of("LeaseKeepAlive");
        for _ in 0..count {
            session.renew().await?;
        }
        Outcome::Ok(Calls::now(&context).await?.of("LeaseKeepAlive") - before)
    };
    let alone = renewals(5).await?;
    for number in 0..500 {
        let roster = Roster { name: Name::new(format!("lock-{number}"))?, ..lock() };
        session.enter(&roster, exclusive()).await?;
    }
    let many = renewals(5).await?;
    ensure!(alone == 5 && many == 5, "5 renewals took {alone} messages, and {many} with 500 locks");
    Ok(())
}

/// The release, what the new holder writes for the waiter behind it, and what that waiter reads, whatever the numbers are.
pub(crate) async fn a_semaphore_passes_a_permit_on_with_four_transactions(context: Context) -> Outcome {
    for (permits, contenders) in [(2, 6), (100, 300)] {
        // Nothing renews these sessions.
        let context = context.in_another_namespace().with_ttl(Duration::from_secs(120));
        let session = Arc::<dyn Session>::from(context.session("a").await?);
        let (limit, roster) = (NonZeroU32::new(permits).unwrap_or(NonZeroU32::MIN), lock());
        let (mut held, mut turns, start) = (Vec::new(), VecDeque::new(), Calls::now(&context).await?);
        for _ in 0..contenders {
            match session.enter(&roster, NewEntry { limit, ..exclusive() }).await? {
                Standing::Admitted(ticket) => held.push(ticket),
                Standing::Waiting { ticket, .. } => {
                    let (session, roster) = (session.clone(), roster.clone());
                    turns.push_back(tokio::spawn(async move { session.await_turn(&roster, &ticket).await }));
                }
                other => return Err(Failure::new(format!("it must enter, but is {other:?}"))),
            }
        }
        ensure!(held.len() == permits as usize, "{} hold {permits} permits", held.len());
        // Each contender has entered, and each waiter has read once.
        let prepared = u64::from(contenders + contenders - permits);
        while Calls::now(&context).await?.transactions_since(&start)? < prepared {
            sleep(Duration::from_millis(100)).await;
        }
        let mut before = when_quiet(&context).await?;
        for ticket in held.iter().take(3) {
            ensure!(session.leave(&roster, ticket).await?, "it was held");
            let turn = turns.pop_front().ok_or_else(|| Failure::new("there is no waiter"))?;
            timeout(PATIENCE, turn).await???;
            let now = when_quiet(&context).await?;
            let spent = now.transactions_since(&before)?;
            before = now;
            ensure!(spent <= 4, "a hand-over of {permits} permits took {spent} transactions");
        }
    }
    Ok(())
}

/// Publishers do not compete: each message is one transaction, but for the few messages that begin a segment of the topic.
pub(crate) async fn a_message_of_many_publishers_is_one_transaction(context: Context) -> Outcome {
    const MESSAGES: u64 = 1_000;
    for publishers in [1, 10, 100] {
        // Nothing renews these sessions.
        let context = context.in_another_namespace().with_ttl(Duration::from_secs(120));
        let topic = Name::new("busy")?;
        let mut sessions = Vec::new();
        for number in 0..publishers {
            sessions.push(context.session(&number.to_string()).await?);
        }
        let (mut publishing, before) = (JoinSet::new(), Calls::now(&context).await?);
        for session in sessions {
            let topic = topic.clone();
            publishing.spawn(async move {
                for _ in 0..MESSAGES / publishers {
                    let topics = session.topics().ok_or_else(|| Failure::new("there are no topics"))?;
                    topics.publish(&topic, b"x", 10_000).await?;
                }
                Outcome::Ok(())
            });
        }
        publishing.join_all().await.into_iter().collect::<Outcome>()?;
        let spent = Calls::now(&context).await?.transactions_since(&before)?;
        // A publisher learns of each segment that another one has begun by one attempt.
        let most = MESSAGES + (MESSAGES / 256 + 1) * (publishers + 2);
        ensure!(spent <= most, "{publishers} publishers took {spent} transactions for {MESSAGES} messages");
    }
    Ok(())
}
