//! What one member, or one entry of another program, can do to the others: nothing. Observers go on, and recover.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tooz_core::driver::{IfBlocked, IfTaken, Key, Kind, Mode, NewEntry, Nonce, Roster, Session, SessionOptions};
use tooz_core::memory::{DRIVER, Server};
use tooz_core::{
    Capabilities, Coordinator, Error, ErrorKind, Group, GroupEvent, Name, Offset, Partitioner, StartAt, Value,
};

const MOMENT: Duration = Duration::from_millis(100);

async fn connect(server: &str, member: &str) -> Result<Coordinator, Error> {
    Coordinator::builder(format!("memory://{server}")).member(member).connect().await
}

/// A session of the driver, which writes what core would refuse.
async fn raw_session(server: &str) -> Result<Box<dyn Session>, Error> {
    let ttl = Duration::from_secs(3600);
    let driver = (DRIVER.open)(&format!("memory://{server}").parse()?)?;
    driver.open(&SessionOptions::new("tooz", Name::new("raw")?, ttl, ttl)).await
}

async fn enter(session: &dyn Session, group: &str, key: Key<'_>, value: &[u8]) -> Result<(), Error> {
    let roster = Roster { kind: Kind::Group, name: Name::new(group)? };
    let entry = NewEntry {
        nonce: Nonce::random(),
        key,
        mode: Mode::Member,
        limit: NonZeroU32::MIN,
        if_blocked: IfBlocked::Wait,
        needs_declared: true,
        value,
    };
    session.enter(&roster, entry).await.map(drop)
}

fn own_keys(partitioner: &Partitioner) -> usize {
    (0..1000).filter(|number| partitioner.belongs_to_me(format!("job-{number}"))).count()
}

async fn recovers(what: &str, condition: impl Fn() -> bool + Send + Sync) {
    let recovered = async {
        while !condition() {
            sleep(MOMENT).await;
        }
    };
    timeout(Duration::from_secs(60), recovered).await.unwrap_or_else(|_| panic!("{what} did not recover"));
}

/// Five entries that cannot be read, beside the member `a`.
async fn group_with_unreadable_entries(server: &str) -> Result<(Coordinator, Group, Box<dyn Session>), Error> {
    let a = connect(server, "a").await?;
    let group = a.group("g");
    group.create().await?;
    let raw = raw_session(server).await?;
    let nested = [&[0; 8], &b"\x81\xa1a"[..], &[0x91; 800], &[0xc0]].concat();
    for (key, value) in [
        (Key::Unique(b"short", IfTaken::Refuse), &b"xyz"[..]),
        (Key::Unique(b"nested", IfTaken::Refuse), &nested),
        (Key::Unique(b"empty", IfTaken::Refuse), b"12345678"),
        (Key::Unique(&[b'l'; 600], IfTaken::Refuse), b"12345678\x80"),
        (Key::Nonce, b"12345678\x80"),
    ] {
        enter(&*raw, "g", key, value).await?;
    }
    Ok((a, group, raw))
}

#[tokio::test(start_paused = true)]
async fn a_partitioner_ended_for_good_when_the_group_was_briefly_gone() -> Result<(), Error> {
    let (a, b) = (connect("gone", "a").await?, connect("gone", "b").await?);
    let (of_a, of_b) = (a.group("g"), b.group("g"));
    of_a.create().await?;
    let members = (of_a.join(()).await?, of_b.join(()).await?);
    let (first, second) = (of_a.partitioner().await?, of_b.partitioner().await?);
    recovers("the division", || own_keys(&first) + own_keys(&second) == 1000).await;
    first.status()?;
    members.0.leave().await?;
    members.1.leave().await?;
    of_a.delete().await?;
    sleep(MOMENT).await;
    assert_eq!(first.status().unwrap_err().kind(), ErrorKind::GroupNotCreated);
    assert_eq!(own_keys(&first) + own_keys(&second), 0);
    of_a.create().await?;
    let _members = (of_a.join(()).await?, of_b.join(()).await?);
    recovers("the division", || own_keys(&first) + own_keys(&second) == 1000 && own_keys(&first) > 0).await;
    assert_eq!(own_keys(&first), own_keys(&of_a.partitioner().await?));
    first.status()
}

#[tokio::test(start_paused = true)]
async fn one_unreadable_entry_failed_every_reader_of_the_group() -> Result<(), Error> {
    let (a, group, raw) = group_with_unreadable_entries("unreadable").await?;
    let _membership = group.join(Capabilities::from_iter([("weight", 2)])).await?;
    let members = group.members().await?;
    assert_eq!(members.len(), 6);
    let readable: Vec<_> = members.iter().filter(|member| member.capabilities().is_ok()).map(|one| one.id()).collect();
    assert_eq!(readable, [a.member()]);
    for member in members.iter().filter(|member| member.id() != a.member()) {
        assert_eq!(member.capabilities().unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(member.weight().unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(*member, group.member(member.id()).await?);
    }
    let mut watch = group.watch().await?;
    assert_eq!(watch.members(), members);
    let partitioner = group.partitioner().await?;
    partitioner.status()?;
    assert_eq!((own_keys(&partitioner), partitioner.excluded().len()), (1000, 5));
    enter(&*raw, "g", Key::Unique(b"late", IfTaken::Refuse), b"").await?;
    for _ in 0..7 {
        assert!(matches!(watch.next().await?, GroupEvent::Joined(_)));
    }
    recovers("the partitioner", || partitioner.excluded().len() == 6).await;
    assert_eq!(own_keys(&partitioner), 1000);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_operator_evicts_unreadable_members() -> Result<(), Error> {
    let (_a, group, _raw) = group_with_unreadable_entries("evict").await?;
    let members = group.members().await?;
    for member in &members {
        assert_eq!(group.evict(member.id()).await?, *member);
        assert_eq!(group.evict(member.id()).await.unwrap_err().kind(), ErrorKind::MemberNotJoined);
    }
    assert!(group.members().await?.is_empty());
    group.delete().await
}

#[tokio::test(start_paused = true)]
async fn an_evicted_member_is_notified_and_does_not_join_again() -> Result<(), Error> {
    let (a, b) = (connect("evicted", "a").await?, connect("evicted", "b").await?);
    let group = a.group("g");
    group.create().await?;
    let membership = b.group("g").join(()).await?;
    assert_eq!(group.evict("b").await?.id(), b.member());
    assert!(membership.lost().await.is_not_held());
    Server::named("evicted").expire("b");
    sleep(Duration::from_secs(60)).await;
    assert!(group.members().await?.is_empty());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_weight_that_cannot_be_read_counted_as_one() -> Result<(), Error> {
    let (a, b) = (connect("weight", "a").await?, connect("weight", "b").await?);
    let group = a.group("g");
    group.create().await?;
    let (_first, second) = (group.join(()).await?, b.group("g").join(()).await?);
    let partitioner = b.group("g").partitioner().await?;
    for weight in [Value::from("2"), Value::from(2.0), Value::Nil, Value::Ext(3, vec![2]), Value::from(true)] {
        second.update(Capabilities::from_iter([("weight", 1)])).await?;
        recovers("the member", || own_keys(&partitioner) > 0).await;
        second.update(Capabilities::from_iter([("weight", weight)])).await?;
        recovers("the partitioner", || own_keys(&partitioner) == 0).await;
        let [(name, cause)] = &partitioner.excluded()[..] else { panic!("one member is excluded") };
        assert_eq!((name, cause.kind()), (b.member(), ErrorKind::Corrupt));
        assert!(cause.to_string().contains("weight"), "{cause}");
    }
    for (weight, counted) in [(Value::from(u64::MAX), 1000), (Value::from(-1), 0), (Value::from(i64::MIN), 0)] {
        second.update(Capabilities::from_iter([("weight", weight)])).await?;
        assert_eq!(group.member("b").await?.weight()?, counted);
    }
    second.update(vec!["capabilities", "without", "names"]).await?;
    assert_eq!(group.member("b").await?.weight()?, 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_partitioner_says_that_it_does_not_follow() -> Result<(), Error> {
    let (a, server) = (connect("follows", "a").await?, Server::named("follows"));
    let group = a.group("g");
    group.create().await?;
    let _membership = group.join(()).await?;
    let partitioner = group.partitioner().await?;
    server.pause();
    recovers("the report", || partitioner.status().is_err_and(|error| error.is_retryable())).await;
    assert_eq!(own_keys(&partitioner), 1000);
    server.resume();
    recovers("the partitioner", || partitioner.status().is_ok() && own_keys(&partitioner) == 1000).await;
    a.close().await;
    recovers("the report", || partitioner.status().is_err_and(|error| error.is_closed())).await;
    for partitions in [0, 1001, u32::MAX] {
        let error = group.partitioner_with(partitions).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOption);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_watch_continues_when_the_group_is_created_again() -> Result<(), Error> {
    let a = connect("again", "a").await?;
    let group = a.group("g");
    group.create().await?;
    let membership = group.join(()).await?;
    let mut watch = group.watch().await?;
    let joined = watch.next().await?;
    membership.leave().await?;
    group.delete().await?;
    assert!(matches!((joined, watch.next().await?), (GroupEvent::Joined(a), GroupEvent::Left(b)) if a == b));
    assert_eq!(watch.next().await.unwrap_err().kind(), ErrorKind::GroupNotCreated);
    assert!(watch.members().is_empty());
    assert!(timeout(Duration::from_secs(60), watch.next()).await.is_err());
    group.create().await?;
    let membership = group.join(()).await?;
    let GroupEvent::Joined(member) = watch.next().await? else { panic!("the next event is a join") };
    assert_eq!(Some(member.incarnation()), membership.incarnation());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn large_capabilities_ended_the_session_of_their_readers() -> Result<(), Error> {
    let a = Coordinator::builder("memory://large?max_value_size=10").member("a").connect().await?;
    let group = a.group("g");
    group.create().await?;
    let error = group.join("ten characters").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOption);
    assert!(error.to_string().contains("have 15 bytes, but at most 10 are allowed"), "{error}");
    let membership = group.join("nine char").await?;
    assert_eq!(membership.update("ten characters").await.unwrap_err().kind(), ErrorKind::InvalidOption);
    assert_eq!(group.member("a").await?.capabilities_as::<String>()?, "nine char");
    let b = Coordinator::builder("memory://large").member("b").max_value_size(512 * 1024).connect().await?;
    let _membership = b.group("g").join("x".repeat(500_000)).await?;
    assert_eq!(group.members().await?.len(), 2);
    Ok(())
}

/// Such an offset comes from another history of the topic, so messages of this one were not read.
#[tokio::test(start_paused = true)]
async fn a_subscription_after_the_last_offset_reports_a_gap_and_goes_on() -> Result<(), Error> {
    let a = connect("offset", "a").await?;
    let topic = a.topic("t");
    topic.publish(b"first").await?;
    for offset in [u64::MAX, u64::MAX - 1, i64::MAX as u64] {
        let mut subscription = topic.subscribe(StartAt::After(Offset(offset))).await?;
        assert_eq!(subscription.next().await.unwrap_err().kind(), ErrorKind::Gap);
        assert_eq!(timeout(MOMENT, subscription.next()).await.expect("a message")?.payload, b"first");
    }
    Ok(())
}
