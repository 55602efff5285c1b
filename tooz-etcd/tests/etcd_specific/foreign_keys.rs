//! Keys and values under the prefix that the driver did not write, and numbers at their end.

use std::time::Duration;

use etcd_client::Client;
use tooz_conformance::{Context, Failure, ensure};
use tooz_core::driver::{IfBlocked, Key, Kind, Mode, NewEntry, Offset, Roster, Standing};
use tooz_core::{ErrorKind, Name};

use super::{Outcome, PATIENCE, exclusive, fails, hold, lock, operator};

/// Puts a key under the namespace.
async fn put(client: &mut Client, context: &Context, key: &str, value: &str) -> Outcome {
    client.put(format!("/{}/{key}", context.namespace()), value, None).await?;
    Ok(())
}

pub(crate) async fn a_foreign_key_does_not_hide_a_roster(context: Context) -> Outcome {
    let (session, mut client) = (context.session("a").await?, operator(&context).await?);
    let ticket = hold(&*session).await?;
    for key in ["lock/lock/note", "lock/lock/z/1", "lock/lock/m/%zz/1", "declared/group/%zz"] {
        put(&mut client, &context, key, "mine").await?;
    }
    let entries = session.snapshot(&lock(), None).await?.entries;
    ensure!(entries.len() == 1 && entries[0].seq == ticket.seq, "the snapshot has {entries:?}");
    let group = Roster { kind: Kind::Group, name: Name::new("group")? };
    session.declare(&group).await?;
    let declared = session.declared(Kind::Group).await?;
    ensure!(declared == [group.name], "{declared:?} are declared");
    ensure!(session.leave(&lock(), &ticket).await?, "it was held");
    hold(&*session).await?;
    Ok(())
}

/// An entry with a value of another program blocks the lock. So it must be visible, and an operator must be able to evict it.
pub(crate) async fn an_unreadable_entry_can_be_evicted(context: Context) -> Outcome {
    let (session, mut client) = (context.session("a").await?, operator(&context).await?);
    put(&mut client, &context, "lock/lock/x/1", "mine").await?;
    let attempt = session.enter(&lock(), NewEntry { if_blocked: IfBlocked::Withdraw, ..exclusive() }).await?;
    let Standing::Withdrawn { blocked_by } = attempt else {
        return Err(Failure::new(format!("it must be blocked, but is {attempt:?}")));
    };
    let entries = session.snapshot(&lock(), None).await?.entries;
    ensure!(entries.len() == 1 && entries[0].seq == blocked_by, "the snapshot has {entries:?}");
    ensure!(session.evict(&lock(), blocked_by).await?, "it was gone");
    hold(&*session).await?;
    Ok(())
}

pub(crate) async fn a_foreign_key_hides_no_message(context: Context) -> Outcome {
    let (session, mut client) = (context.session("a").await?, operator(&context).await?);
    let topics = session.topics().ok_or_else(|| Failure::new("there are no topics"))?;
    let topic = Name::new("topic")?;
    let first = topics.publish(&topic, b"1", 10).await?;
    for key in ["topic/topic/note", "topic/topic/message/note", "topic/topic/segment/note"] {
        put(&mut client, &context, key, "mine").await?;
    }
    let second = topics.publish(&topic, b"2", 10).await?;
    let messages = topics.read(&topic, Offset(0), 10).await?;
    let offsets: Vec<_> = messages.iter().map(|message| message.offset).collect();
    ensure!(offsets == [first, second], "the messages are {messages:?}");
    put(&mut client, &context, "topic/topic/trimmed", "mine").await?;
    fails(topics.read(&topic, Offset(0), 10).await, ErrorKind::Corrupt, "topic/topic/trimmed")?;
    fails(topics.bounds(&topic).await, ErrorKind::Corrupt, "topic/topic/trimmed")
}

pub(crate) async fn offsets_do_not_overflow(context: Context) -> Outcome {
    let (session, mut client) = (context.session("a").await?, operator(&context).await?);
    let other = context.session("b").await?;
    let topics = session.topics().ok_or_else(|| Failure::new("there are no topics"))?;
    let topic = Name::new("topic")?;
    topics.publish(&topic, b"1", u64::MAX).await?;
    for after in [u64::MAX - 1, u64::MAX] {
        let read =
            tokio::time::timeout(Duration::from_millis(500), topics.read(&topic, Offset(after), usize::MAX)).await;
        ensure!(read.is_err(), "after {after} came {read:?}");
    }
    put(&mut client, &context, &format!("topic/topic/segment/{}", u64::MAX), "").await?;
    let others = other.topics().ok_or_else(|| Failure::new("there are no topics"))?;
    fails(others.publish(&topic, b"2", 1).await, ErrorKind::Corrupt, "topic/topic/segment/")?;
    put(&mut client, &context, "topic/topic/trimmed", &u64::MAX.to_string()).await?;
    fails(topics.read(&topic, Offset(0), 10).await, ErrorKind::Gap, "")
}

/// An `enter` that fails for good leaves no entry, nor a key that blocks others.
pub(crate) async fn an_enter_that_failed_for_good_leaves_nothing(context: Context) -> Outcome {
    let (session, mut client) = (context.session("a").await?, operator(&context).await?);
    let value = vec![0; 2_000_000];
    fails(session.enter(&lock(), NewEntry { value: &value, ..exclusive() }).await, ErrorKind::InvalidOption, "larger")?;
    let undeclared = NewEntry { needs_declared: true, mode: Mode::Member, key: Key::Nonce, ..exclusive() };
    fails(session.enter(&lock(), undeclared).await, ErrorKind::GroupNotCreated, "")?;
    let prefix = format!("/{}/lock/", context.namespace());
    let found = client.get(prefix, Some(etcd_client::GetOptions::new().with_prefix())).await?;
    ensure!(found.kvs().is_empty(), "{} keys were left", found.kvs().len());
    let ticket = tokio::time::timeout(PATIENCE, hold(&*session)).await??;
    ensure!(session.leave(&lock(), &ticket).await?, "it was held");
    Ok(())
}

/// A TTL that etcd cannot keep is no temporary failure.
pub(crate) async fn a_ttl_out_of_range_is_an_invalid_option(context: Context) -> Outcome {
    let (driver, (least, greatest)) = (context.driver()?, context.info()?.ttl_range);
    for ttl in [Duration::MAX, greatest + Duration::from_secs(1)] {
        let options = context.with_ttl(ttl).session_options("a")?;
        fails(driver.open(&options).await.map(drop), ErrorKind::InvalidOption, "TTL")?;
    }
    for ttl in [least, greatest] {
        let session = driver.open(&context.with_ttl(ttl).session_options("a")?).await?;
        ensure!(session.ttl() >= Some(ttl), "{ttl:?} became {:?}", session.ttl());
        hold(&*session).await?;
        session.close().await?;
    }
    Ok(())
}
