//! Queues of several waiters, some of which give up or are removed.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, DeleteOptions, GetOptions, SortOrder, SortTarget, Txn, TxnOp};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tooz_conformance::{Context, Failure, ensure};
use tooz_core::ErrorKind;
use tooz_core::driver::{NewEntry, Session, Standing, Ticket};

use super::{Outcome, PATIENCE, exclusive, fails, hold, lock, operator};

/// A value that looks like what the driver puts before it.
const VALUE: &[u8] = b"3 4\n5";

/// A holder and its waiters. Each waiter is of another session than the one before it, if there is more than one.
struct Queue {
    sessions: Vec<Arc<dyn Session>>,
    holder: OwnedEntry,
    waiting: Vec<(OwnedEntry, JoinHandle<tooz_core::Result<()>>)>,
    operator: Client,
    entries: String,
}

/// An entry with the session that it belongs to.
struct OwnedEntry {
    session: Arc<dyn Session>,
    ticket: Ticket,
}

impl OwnedEntry {
    async fn leave(&self) -> Outcome {
        ensure!(self.session.leave(&lock(), &self.ticket).await?, "the entry was gone");
        Ok(())
    }
}

impl Queue {
    async fn new(context: &Context, sessions: usize) -> Outcome<Self> {
        let (mut opened, operator) = (Vec::new(), operator(context).await?);
        for number in 0..sessions {
            opened.push(Arc::<dyn Session>::from(context.session(&number.to_string()).await?));
        }
        let mut holder = OwnedEntry { session: opened[0].clone(), ticket: hold(&*opened[0]).await? };
        let mut waiting = Vec::new();
        for number in 1..=8 {
            let session = opened[number % sessions].clone();
            let entered = session.enter(&lock(), NewEntry { value: VALUE, ..exclusive() }).await?;
            let Standing::Waiting { ticket, .. } = entered else {
                return Err(Failure::new(format!("it must wait, but is {entered:?}")));
            };
            let waiter = session.clone();
            let turn = tokio::spawn(async move { waiter.await_turn(&lock(), &ticket).await });
            waiting.push((OwnedEntry { session, ticket }, turn));
        }
        // Until all watches have begun and were checked once.
        sleep(Duration::from_millis(300)).await;
        for _ in 0..2 {
            holder.leave().await?;
            let (next, turn) = waiting.remove(0);
            timeout(PATIENCE, turn).await???;
            holder = next;
        }
        let entries = format!("/{}/lock/lock/x/", context.namespace());
        Ok(Self { sessions: opened, holder, waiting, operator, entries })
    }

    async fn close(self) -> Outcome {
        for session in self.sessions {
            session.close().await?;
        }
        Ok(())
    }
}

fn first(count: i64) -> GetOptions {
    GetOptions::new().with_prefix().with_sort(SortTarget::Create, SortOrder::Ascend).with_limit(count)
}

/// The nonce and the limit, which are stored before the value, are no part of it.
pub(crate) async fn an_admitted_entry_keeps_its_value(context: Context) -> Outcome {
    let queue = Queue::new(&context, 1).await?;
    let (session, ticket) = (&queue.holder.session, &queue.holder.ticket);
    let entry = session.snapshot(&lock(), None).await?.entries.swap_remove(0);
    ensure!((entry.value.as_slice(), entry.limit.get()) == (VALUE, 1), "the entry became {entry:?}");
    session.replace(&lock(), ticket, b"other").await?;
    let entry = session.snapshot(&lock(), None).await?.entries.swap_remove(0);
    ensure!((entry.value.as_slice(), entry.limit.get()) == (b"other".as_slice(), 1), "the entry became {entry:?}");
    Ok(())
}

/// A waiter that leaves admits no other waiter; the holder's release does.
pub(crate) async fn a_waiter_that_gives_up_admits_no_other(context: Context) -> Outcome {
    for sessions in [1, 2] {
        let mut queue = Queue::new(&context, sessions).await?;
        let (given_up, turn) = queue.waiting.remove(0);
        given_up.leave().await?;
        fails(timeout(PATIENCE, turn).await??, ErrorKind::NotHeld, "")?;
        sleep(Duration::from_millis(500)).await;
        let early = queue.waiting.iter().position(|(_, turn)| turn.is_finished());
        ensure!(early.is_none(), "the waiter {early:?} behind the one that gave up was admitted");
        queue.holder.leave().await?;
        for (next, turn) in queue.waiting.drain(..) {
            timeout(PATIENCE, turn).await???;
            next.leave().await?;
        }
        queue.close().await?;
    }
    Ok(())
}

/// A waiter that was removed together with the holder is not admitted; the one behind it is.
pub(crate) async fn a_waiter_removed_with_the_holder_is_not_admitted(context: Context) -> Outcome {
    for sessions in [1, 2] {
        let mut queue = Queue::new(&context, sessions).await?;
        let (_, turn) = queue.waiting.remove(0);
        let found = queue.operator.get(&*queue.entries, Some(first(2))).await?;
        let keys: Vec<_> = found.kvs().iter().map(|stored| TxnOp::delete(stored.key(), None)).collect();
        queue.operator.txn(Txn::new().and_then(keys)).await?;
        fails(timeout(PATIENCE, turn).await??, ErrorKind::NotHeld, "")?;
        let (_, next) = queue.waiting.remove(0);
        timeout(PATIENCE, next).await???;
        queue.close().await?;
    }
    Ok(())
}

/// If one transaction removes the holder and all waiters, no waiter is admitted.
pub(crate) async fn a_queue_removed_at_once_admits_no_waiter(context: Context) -> Outcome {
    for sessions in [1, 2] {
        let mut queue = Queue::new(&context, sessions).await?;
        let removed = queue.operator.delete(&*queue.entries, Some(DeleteOptions::new().with_prefix())).await?;
        ensure!(removed.deleted() == 7, "there were {} entries", removed.deleted());
        for (_, turn) in queue.waiting.drain(..) {
            fails(timeout(PATIENCE, turn).await??, ErrorKind::NotHeld, "")?;
        }
        sleep(Duration::from_millis(200)).await;
        let left = queue.operator.get(&*queue.entries, Some(GetOptions::new().with_prefix().with_count_only())).await?;
        ensure!(left.count() == 0, "{} entries came back", left.count());
        queue.close().await?;
    }
    Ok(())
}

/// The waiters behind one that the caller does not poll are admitted in their turn.
pub(crate) async fn a_waiter_that_is_not_polled_holds_up_no_other(context: Context) -> Outcome {
    let (a, b) = (context.coordinator("a").await?, context.coordinator("b").await?);
    let semaphore = a.semaphore("s", 2);
    let held = [semaphore.acquire().await?, semaphore.acquire().await?];
    let mut first = std::pin::pin!(semaphore.acquire());
    ensure!(timeout(Duration::from_millis(500), &mut first).await.is_err(), "three hold two permits");
    let waiter = b.semaphore("s", 2);
    let second = tokio::spawn(async move { waiter.acquire().await });
    sleep(Duration::from_millis(500)).await;
    for guard in held {
        guard.release().await?;
    }
    let second = timeout(PATIENCE, second).await???;
    timeout(PATIENCE, first).await??.release().await?;
    second.release().await?;
    Ok(())
}
