//! Long lines, in which who was admitted says so.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, DeleteOptions, GetOptions, SortOrder, SortTarget, Txn, TxnOp};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tooz_conformance::{Context, Failure, ensure};
use tooz_core::ErrorKind;
use tooz_core::driver::{NewEntry, Session, Standing, Ticket};

use super::{Outcome, PATIENCE, exclusive, fails, hold, lock, operator};

const VALUE: &[u8] = b"3 4\n5";

/// A line whose head was admitted and has said so.
struct Line {
    session: Arc<dyn Session>,
    /// The head's.
    held: Ticket,
    waiting: Vec<(Ticket, JoinHandle<tooz_core::Result<()>>)>,
    operator: Client,
    entries: String,
}

impl Line {
    async fn new(context: &Context) -> Outcome<Self> {
        let session = Arc::<dyn Session>::from(context.session("a").await?);
        let mut held = hold(&*session).await?;
        let mut waiting = Vec::new();
        for _ in 0..8 {
            let entered = session.enter(&lock(), NewEntry { value: VALUE, ..exclusive() }).await?;
            let Standing::Waiting { ticket, .. } = entered else {
                return Err(Failure::new(format!("it must wait, but is {entered:?}")));
            };
            let waiter = session.clone();
            waiting.push((ticket, tokio::spawn(async move { waiter.await_turn(&lock(), &ticket).await })));
        }
        // Until all watches have begun and were checked once.
        sleep(Duration::from_millis(300)).await;
        // The first one had nobody else before it, and did not look at the line.
        for _ in 0..2 {
            ensure!(session.leave(&lock(), &held).await?, "it was held");
            let (ticket, turn) = waiting.remove(0);
            timeout(PATIENCE, turn).await???;
            held = ticket;
        }
        let (mut operator, entries) = (operator(context).await?, format!("/{}/lock/lock/x/", context.namespace()));
        let first = GetOptions::new().with_prefix().with_sort(SortTarget::Create, SortOrder::Ascend).with_limit(1);
        let announced = async {
            loop {
                let answer = operator.get(&*entries, Some(first.clone())).await?;
                if answer.kvs().first().is_some_and(|stored| stored.version() > 1) {
                    return Ok::<_, Failure>(());
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, announced)
            .await
            .map_err(|_| Failure::new("the head does not say that it was admitted"))??;
        Ok(Self { session, held, waiting, operator, entries })
    }
}

/// What the head says is not part of its value.
pub(crate) async fn an_admitted_head_keeps_its_value(context: Context) -> Outcome {
    let line = Line::new(&context).await?;
    let head = line.session.snapshot(&lock(), None).await?.entries.swap_remove(0);
    ensure!((head.value.as_slice(), head.limit.get()) == (VALUE, 1), "the head became {head:?}");
    line.session.replace(&lock(), &line.held, b"other").await?;
    let head = line.session.snapshot(&lock(), None).await?.entries.swap_remove(0);
    ensure!((head.value.as_slice(), head.limit.get()) == (b"other".as_slice(), 1), "the head became {head:?}");
    Ok(())
}

/// An entry that goes before it was admitted admits nobody, and then the head does.
pub(crate) async fn who_gives_up_in_a_long_line_admits_nobody(context: Context) -> Outcome {
    let mut line = Line::new(&context).await?;
    let (given_up, turn) = line.waiting.remove(0);
    ensure!(line.session.leave(&lock(), &given_up).await?, "it stood");
    fails(timeout(PATIENCE, turn).await??, ErrorKind::NotHeld, "")?;
    sleep(Duration::from_millis(500)).await;
    let early = line.waiting.iter().position(|(_, turn)| turn.is_finished());
    ensure!(early.is_none(), "the waiter {early:?} behind the one that gave up was admitted");
    ensure!(line.session.leave(&lock(), &line.held).await?, "it was held");
    for (ticket, turn) in line.waiting {
        timeout(PATIENCE, turn).await???;
        ensure!(line.session.leave(&lock(), &ticket).await?, "it was held");
    }
    Ok(())
}

/// Nor does a waiter that was removed before the head went.
pub(crate) async fn who_was_removed_from_a_long_line_is_not_admitted(context: Context) -> Outcome {
    let mut line = Line::new(&context).await?;
    let (_, turn) = line.waiting.remove(0);
    let second = GetOptions::new().with_prefix().with_sort(SortTarget::Create, SortOrder::Ascend).with_limit(2);
    let found = line.operator.get(&*line.entries, Some(second)).await?;
    let keys: Vec<_> = found.kvs().iter().map(|stored| stored.key().to_vec()).collect();
    let removed = Txn::new().and_then([TxnOp::delete(&*keys[1], None), TxnOp::delete(&*keys[0], None)]);
    line.operator.txn(removed).await?;
    fails(timeout(PATIENCE, turn).await??, ErrorKind::NotHeld, "")?;
    let (_, next) = line.waiting.remove(0);
    Ok(timeout(PATIENCE, next).await???)
}

/// Whoever removes the head and the waiters in one transaction leaves nobody to be admitted.
pub(crate) async fn a_long_line_removed_at_once_admits_nobody(context: Context) -> Outcome {
    let mut line = Line::new(&context).await?;
    let removed = line.operator.delete(&*line.entries, Some(DeleteOptions::new().with_prefix())).await?;
    ensure!(removed.deleted() == 7, "there were {} entries", removed.deleted());
    for (_, turn) in line.waiting {
        fails(timeout(PATIENCE, turn).await??, ErrorKind::NotHeld, "")?;
    }
    let left = line.operator.get(line.entries, Some(GetOptions::new().with_prefix().with_count_only())).await?;
    ensure!(left.count() == 0, "{} entries came back", left.count());
    Ok(())
}
