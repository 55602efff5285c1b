//! Long lines, in which who was admitted says so.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, DeleteOptions, GetOptions, SortOrder, SortTarget, Txn, TxnOp};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tooz_conformance::{Context, Failure, ensure};
use tooz_core::ErrorKind;
use tooz_core::driver::{self, NewEntry, Session, Ticket};

use super::{Outcome, PATIENCE, exclusive, fails, hold, lock, operator};

const VALUE: &[u8] = b"3 4\n5";

/// A line whose head was admitted and has said so. Each waiter is of another session than the one before it, if there is
/// more than one.
struct Line {
    sessions: Vec<Arc<dyn Session>>,
    head: Standing,
    waiting: Vec<(Standing, JoinHandle<tooz_core::Result<()>>)>,
    operator: Client,
    entries: String,
}

/// An entry with the session that it belongs to.
struct Standing {
    session: Arc<dyn Session>,
    ticket: Ticket,
}

impl Standing {
    async fn leave(&self) -> Outcome {
        ensure!(self.session.leave(&lock(), &self.ticket).await?, "it stood no more");
        Ok(())
    }
}

impl Line {
    async fn new(context: &Context, sessions: usize) -> Outcome<Self> {
        let (mut opened, mut operator) = (Vec::new(), operator(context).await?);
        for number in 0..sessions {
            opened.push(Arc::<dyn Session>::from(context.session(&number.to_string()).await?));
        }
        let mut head = Standing { session: opened[0].clone(), ticket: hold(&*opened[0]).await? };
        let mut waiting = Vec::new();
        for number in 1..=8 {
            let session = opened[number % sessions].clone();
            let entered = session.enter(&lock(), NewEntry { value: VALUE, ..exclusive() }).await?;
            let driver::Standing::Waiting { ticket, .. } = entered else {
                return Err(Failure::new(format!("it must wait, but is {entered:?}")));
            };
            let waiter = session.clone();
            let turn = tokio::spawn(async move { waiter.await_turn(&lock(), &ticket).await });
            waiting.push((Standing { session, ticket }, turn));
        }
        // Until all watches have begun and were checked once.
        sleep(Duration::from_millis(300)).await;
        // The first one had nobody else before it, and did not look at the line.
        for _ in 0..2 {
            head.leave().await?;
            let (next, turn) = waiting.remove(0);
            timeout(PATIENCE, turn).await???;
            head = next;
        }
        let entries = format!("/{}/lock/lock/x/", context.namespace());
        let announced = async {
            while operator.get(&*entries, Some(first(1))).await?.kvs().iter().all(|stored| stored.version() == 1) {
                sleep(Duration::from_millis(20)).await;
            }
            Ok::<_, Failure>(())
        };
        timeout(PATIENCE, announced)
            .await
            .map_err(|_| Failure::new("the head does not say that it was admitted"))??;
        Ok(Self { sessions: opened, head, waiting, operator, entries })
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

/// What the head says is not part of its value.
pub(crate) async fn an_admitted_head_keeps_its_value(context: Context) -> Outcome {
    let line = Line::new(&context, 1).await?;
    let (session, ticket) = (&line.head.session, &line.head.ticket);
    let head = session.snapshot(&lock(), None).await?.entries.swap_remove(0);
    ensure!((head.value.as_slice(), head.limit.get()) == (VALUE, 1), "the head became {head:?}");
    session.replace(&lock(), ticket, b"other").await?;
    let head = session.snapshot(&lock(), None).await?.entries.swap_remove(0);
    ensure!((head.value.as_slice(), head.limit.get()) == (b"other".as_slice(), 1), "the head became {head:?}");
    Ok(())
}

/// An entry that goes before it was admitted admits nobody, and then the head does.
pub(crate) async fn who_gives_up_in_a_long_line_admits_nobody(context: Context) -> Outcome {
    for sessions in [1, 2] {
        let mut line = Line::new(&context, sessions).await?;
        let (given_up, turn) = line.waiting.remove(0);
        given_up.leave().await?;
        fails(timeout(PATIENCE, turn).await??, ErrorKind::NotHeld, "")?;
        sleep(Duration::from_millis(500)).await;
        let early = line.waiting.iter().position(|(_, turn)| turn.is_finished());
        ensure!(early.is_none(), "the waiter {early:?} behind the one that gave up was admitted");
        line.head.leave().await?;
        for (next, turn) in line.waiting.drain(..) {
            timeout(PATIENCE, turn).await???;
            next.leave().await?;
        }
        line.close().await?;
    }
    Ok(())
}

/// Nor is a waiter admitted that was removed together with the head; the one behind it is.
pub(crate) async fn who_was_removed_from_a_long_line_is_not_admitted(context: Context) -> Outcome {
    for sessions in [1, 2] {
        let mut line = Line::new(&context, sessions).await?;
        let (_, turn) = line.waiting.remove(0);
        let found = line.operator.get(&*line.entries, Some(first(2))).await?;
        let keys: Vec<_> = found.kvs().iter().map(|stored| TxnOp::delete(stored.key(), None)).collect();
        line.operator.txn(Txn::new().and_then(keys)).await?;
        fails(timeout(PATIENCE, turn).await??, ErrorKind::NotHeld, "")?;
        let (_, next) = line.waiting.remove(0);
        timeout(PATIENCE, next).await???;
        line.close().await?;
    }
    Ok(())
}

/// Whoever removes the head and the waiters in one transaction leaves nobody to be admitted.
pub(crate) async fn a_long_line_removed_at_once_admits_nobody(context: Context) -> Outcome {
    for sessions in [1, 2] {
        let mut line = Line::new(&context, sessions).await?;
        let removed = line.operator.delete(&*line.entries, Some(DeleteOptions::new().with_prefix())).await?;
        ensure!(removed.deleted() == 7, "there were {} entries", removed.deleted());
        for (_, turn) in line.waiting.drain(..) {
            fails(timeout(PATIENCE, turn).await??, ErrorKind::NotHeld, "")?;
        }
        sleep(Duration::from_millis(200)).await;
        let left = line.operator.get(&*line.entries, Some(GetOptions::new().with_prefix().with_count_only())).await?;
        ensure!(left.count() == 0, "{} entries came back", left.count());
        line.close().await?;
    }
    Ok(())
}
