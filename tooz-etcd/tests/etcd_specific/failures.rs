//! Failures of one member, and what the driver reports.

use std::num::NonZeroU32;
use std::time::Duration;

use etcd_client::{AlarmAction, AlarmType, DeleteOptions};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};
use tooz_conformance::{Context, Failure, ensure};
use tooz_core::driver::{Loss, NewEntry, Standing};
use tooz_core::{ErrorKind, Name};

use super::forwarder::Forwarder;
use super::{Outcome, PATIENCE, compact, exclusive, fails, hold, insist, lease_of_session, lock, operator, wait};

pub(crate) async fn a_revoked_lease_is_reported_at_once(context: Context) -> Outcome {
    let session = context.session("a").await?;
    hold(&*session).await?;
    let mut client = operator(&context).await?;
    let lease = lease_of_session(&context, &mut client).await?;
    let revoked = async {
        sleep(Duration::from_millis(200)).await;
        client.lease_revoke(lease).await.map(|_| Instant::now())
    };
    let (revoked, loss) = timeout(PATIENCE, async { tokio::join!(revoked, session.lost()) }).await?;
    ensure!(revoked?.elapsed() < Duration::from_secs(1), "the loss was reported late");
    ensure!(matches!(loss, Loss::Session(error) if error.is_session_lost()), "another loss was reported");
    fails(session.renew().await, ErrorKind::SessionLost, "")
}

pub(crate) async fn a_compaction_while_a_watch_is_cut_loses_nothing(context: Context) -> Outcome {
    let (far, proxies) = context.proxied().await?;
    let (watcher, other) = (far.session("watcher").await?, context.session("other").await?);
    let roster = lock();
    let before = watcher.snapshot(&roster, None).await?;
    let watching = insist(|| watcher.snapshot(&roster, Some(before.version)));
    let meanwhile = async {
        sleep(Duration::from_millis(300)).await;
        proxies.refuse();
        proxies.cut();
        let ticket = hold(&*other).await?;
        compact(&mut operator(&context).await?).await?;
        proxies.heal().await?;
        Outcome::Ok(ticket)
    };
    let (seen, ticket) = timeout(PATIENCE, async { tokio::join!(watching, meanwhile) }).await?;
    let (seen, ticket) = (seen?, ticket?);
    ensure!(seen.entries.len() == 1 && seen.entries[0].seq == ticket.seq, "the watcher saw {:?}", seen.entries);
    Ok(())
}

pub(crate) async fn a_full_database_is_reported_and_locks_can_be_released(context: Context) -> Outcome {
    let session = context.session("a").await?;
    let ticket = hold(&*session).await?;
    let mut client = operator(&context).await?;
    client.alarm(AlarmAction::Activate, AlarmType::Nospace, None).await?;
    fails(session.enter(&lock(), exclusive()).await, ErrorKind::Unavailable, "database is full")?;
    session.renew().await?;
    ensure!(session.leave(&lock(), &ticket).await?, "the lock could not be released");
    client.alarm(AlarmAction::Deactivate, AlarmType::Nospace, None).await?;
    hold(&*session).await?;
    Ok(())
}

pub(crate) async fn a_message_that_is_too_large_is_refused_with_both_sizes(context: Context) -> Outcome {
    let session = context.session("a").await?;
    let topics = session.topics().ok_or_else(|| Failure::new("there are no topics"))?;
    let topic = Name::new("topic")?;
    for size in [1_600_000, 4_000_000] {
        let refused = topics.publish(&topic, &vec![0; size], 10).await;
        fails(refused, ErrorKind::InvalidOption, "1572864")?;
    }
    topics.publish(&topic, &[0; 1_500_000], 10).await?;
    Ok(())
}

pub(crate) async fn something_else_at_the_address_is_named(context: Context) -> Outcome {
    for reply in ["HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "220 mail.example ESMTP\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let server = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // The client may be gone already.
                let _ = stream.write_all(reply.as_bytes()).await;
            }
        });
        let began = Instant::now();
        let (other, options) = (context.at(format!("etcd://{address}")), context.session_options("a")?);
        fails(other.driver()?.open(&options).await, ErrorKind::Unavailable, &address)?;
        ensure!(began.elapsed() < options.timeout * 2, "it took {:?}", began.elapsed());
        server.abort();
    }
    Ok(())
}

/// etcd ends connections with too many pings; an idle session must not send them.
pub(crate) async fn an_idle_session_is_not_cut_off(context: Context) -> Outcome {
    let (far, proxies) = context.proxied().await?;
    let mut options = far.session_options("a")?;
    options.ttl = Duration::from_secs(60);
    let session = far.driver()?.open(&options).await?;
    let loss = timeout(Duration::from_secs(22), session.lost()).await;
    ensure!(loss.is_err(), "a loss was reported: {loss:?}");
    let connections = proxies.traffic().connections;
    ensure!(connections == 1, "there were {connections} connections");
    Ok(())
}

/// A waiter watches a semaphore of many permits as a whole.
pub(crate) async fn a_wide_semaphore_wakes_its_waiter(context: Context) -> Outcome {
    let (session, roster) = (context.session("a").await?, lock());
    let wide = || NewEntry { limit: NonZeroU32::new(20).unwrap_or(NonZeroU32::MIN), ..exclusive() };
    let mut held = Vec::new();
    for _ in 0..20 {
        match session.enter(&roster, wide()).await? {
            Standing::Admitted(ticket) => held.push(ticket),
            other => return Err(Failure::new(format!("it must be admitted, but is {other:?}"))),
        }
    }
    let Standing::Waiting { ticket, .. } = session.enter(&roster, wide()).await? else {
        return Err(Failure::new("the last one must wait"));
    };
    let leave = async {
        sleep(Duration::from_millis(300)).await;
        session.leave(&roster, &held[7]).await
    };
    let (turn, left) = timeout(PATIENCE, async { tokio::join!(session.await_turn(&roster, &ticket), leave) }).await?;
    ensure!(left?, "it had left already");
    Ok(turn?)
}

/// If one transaction removes all entries, the waiter's is gone too, whichever event comes first.
pub(crate) async fn entries_removed_together_admit_no_waiter(context: Context) -> Outcome {
    // Nothing renews these sessions.
    let context = context.with_ttl(Duration::from_secs(120));
    let (holder, waiter, roster) = (context.session("a").await?, context.session("b").await?, lock());
    let mut client = operator(&context).await?;
    for _ in 0..20 {
        hold(&*holder).await?;
        let ticket = wait(&*waiter).await?;
        let remove = async {
            sleep(Duration::from_millis(50)).await;
            let entries = format!("/{}/lock/lock/", context.namespace());
            client.delete(entries, Some(DeleteOptions::new().with_prefix())).await
        };
        let (turn, removed) =
            timeout(PATIENCE, async { tokio::join!(waiter.await_turn(&roster, &ticket), remove) }).await?;
        ensure!(removed?.deleted() == 2, "there were not two entries");
        fails(turn, ErrorKind::NotHeld, "")?;
    }
    Ok(())
}

/// A snapshot of 4 MB takes some 10 s over this network. Meanwhile renewals must not be late.
pub(crate) async fn a_large_snapshot_does_not_delay_renewals(context: Context) -> Outcome {
    let (writer, roster) = (context.with_ttl(Duration::from_secs(60)).session("writer").await?, lock());
    let value = vec![b'v'; 200_000];
    for _ in 0..20 {
        writer.enter(&roster, NewEntry { value: &value, ..exclusive() }).await?;
    }
    let address = context.url().trim_start_matches("etcd://");
    let forwarder = Forwarder::start(address, Duration::from_millis(40)).await?;
    let far = context.at(format!("etcd://{}", forwarder.address));
    let mut options = far.session_options("reader")?;
    options.timeout = PATIENCE * 4;
    let reader = far.driver()?.open(&options).await?;
    reader.renew().await?;
    let reading = reader.snapshot(&roster, None);
    let renewing = async {
        let mut slowest = Duration::ZERO;
        for _ in 0..15 {
            let began = Instant::now();
            reader.renew().await?;
            slowest = slowest.max(began.elapsed());
            sleep(Duration::from_millis(300)).await;
        }
        Outcome::Ok(slowest)
    };
    let (snapshot, slowest) = tokio::join!(reading, renewing);
    let (entries, slowest) = (snapshot?.entries.len(), slowest?);
    ensure!(entries == 20 && slowest < Duration::from_secs(1), "{entries} entries; a renewal took {slowest:?}");
    Ok(())
}
