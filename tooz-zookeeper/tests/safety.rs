//! Emptied servers, znodes of other programs, limits of ZooKeeper, and values at the end of their range.

#![expect(clippy::unwrap_used, reason = "a panic is how these tests fail")]

mod support;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tooz_conformance::children::ChildContext;
use tooz_conformance::proxy::{Direction, Proxy};
use tooz_conformance::servers::{Deployment, zookeeper};
use tooz_conformance::{Context, Failure, Harness, Needs};
use tooz_core::driver::{
    Driver, IfTaken, Key, Kind, Loss, Mode, NewEntry, Offset, Roster, Session, SessionOptions, Standing,
};
use tooz_core::{ErrorKind, Name};
use zookeeper_async::{Acl, CreateMode, Permission, ZooKeeper};

use self::support::{Client, Switch, at_last, exclusive, lock, options, soon};

const TTL: Duration = Duration::from_secs(30);
const LIMIT: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let own = Needs::OWN_SERVER;
    let harness = Harness::new(support::named("safety"), tooz_zookeeper::DRIVER, zookeeper::single(), support::url);
    tooz_conformance::main(
        harness
            .only_own()
            .role("fifty sessions", open_fifty_sessions)
            .trial("the_sessions_of_a_process_share_one_thread", Needs::NOTHING, one_thread)
            .trial("an_emptied_server_is_another_history", own, an_emptied_server)
            .trial("an_entry_removed_while_disconnected_is_reported", own, an_entry_removed_while_disconnected)
            .trial("an_offset_at_the_end_of_its_range_waits", Needs::NOTHING, an_offset_at_the_end_of_its_range)
            .trial("an_enter_that_failed_leaves_no_entry", Needs::NOTHING, an_enter_that_failed)
            .trial("a_foreign_znode_fails_no_verb", Needs::NOTHING, a_foreign_znode)
            .trial("an_ephemeral_namespace_is_a_clear_error", Needs::NOTHING, an_ephemeral_namespace)
            .trial("the_paths_of_entries_are_bounded", own, the_paths_of_entries)
            .trial("extreme_ttls_and_timeouts_do_not_panic", Needs::NOTHING, extreme_ttls_and_timeouts)
            .trial("a_tls_port_says_what_to_do", Needs::NOTHING, a_tls_port)
            .trial("a_renewal_needs_no_free_slot", own, a_renewal_needs_no_free_slot),
    )
}

/// Counts the threads of the client crates and the descriptors of this process.
fn threads_and_descriptors() -> Result<(usize, usize), Failure> {
    let names = std::fs::read_dir("/proc/self/task")?.map(|task| std::fs::read_to_string(task?.path().join("comm")));
    let names = names.collect::<Result<Vec<_>, _>>()?;
    let threads = names.iter().filter(|name| ["tooz-zookeeper", "async-io"].contains(&name.trim())).count();
    Ok((threads, std::fs::read_dir("/proc/self/fd")?.count()))
}

/// A child process, so that no other trial has sessions in it.
async fn open_fifty_sessions(child: ChildContext) -> Result<(), Failure> {
    let before = threads_and_descriptors()?;
    let (driver, options) = (child.driver()?, child.session_options("member")?);
    let options = SessionOptions::new(options.namespace, options.member, TTL, 5 * LIMIT);
    let sessions = try_join_all((0..50).map(|_| driver.open(&options))).await?;
    let after = threads_and_descriptors()?;
    child.send(&(after.0 - before.0, after.1 - before.1))?;
    // A session that was dropped does not keep the next ones from the same thread.
    drop(sessions);
    let _next = driver.open(&options).await?;
    child.send(&threads_and_descriptors()?.0)?;
    child.receive().await
}

async fn one_thread(context: Context) -> Result<(), Failure> {
    if !cfg!(target_os = "linux") {
        return Err(Failure::ignored("only Linux lists the threads of a process in a file system"));
    }
    let mut child = context.spawn("fifty sessions", &())?;
    let (threads, descriptors): (usize, usize) = child.receive().await?;
    println!("50 sessions: {threads} threads, {descriptors} descriptors");
    // zookeeper-client has a thread of its own, too.
    assert!(threads <= 2, "50 sessions have {threads} threads");
    assert!(descriptors <= 50 + 12, "50 sessions have {descriptors} descriptors");
    let threads: usize = child.receive().await?;
    assert!(threads <= 2, "after 50 sessions were dropped there are {threads} threads");
    Ok(())
}

/// A client without the driver.
async fn raw(context: &Context) -> Result<ZooKeeper, Failure> {
    Ok(ZooKeeper::connect(&support::hosts(context), Duration::from_secs(10), |_| {}).await?)
}

fn path(context: &Context, roster: &Roster) -> String {
    format!("/{}/{}/{}", context.namespace(), roster.kind, roster.name)
}

async fn an_emptied_server(context: Context) -> Result<(), Failure> {
    let empty = Deployment::start(&zookeeper::single()).await?;
    let switch = Switch::start(&context.server()?.addresses()[0]).await?;
    let driver: Arc<dyn Driver> = context.at(format!("zookeeper://{}", switch.address)).driver()?;
    let ttl = Duration::from_secs(4);
    let options = options(&context, ttl, LIMIT);
    let open = || driver.open(&options);
    let (first, second) = (open().await?, open().await?);
    assert_eq!(first.history(), second.history());
    for _ in 0..100 {
        first.renew().await?;
    }
    switch.point_at(&empty.addresses()[0]);
    for session in [&first, &second] {
        assert!(matches!(soon("the loss", session.lost()).await, Loss::Session(_)));
    }
    let third = at_last("a session", open).await?;
    assert!(third.history() > first.history(), "the driver has not noticed the other history");
    let fourth = open().await?;
    assert_eq!(third.history(), fourth.history());
    third.renew().await?;
    empty.remove().await?;
    Ok(())
}

async fn an_entry_removed_while_disconnected(context: Context) -> Result<(), Failure> {
    let proxy = Proxy::start(context.server()?.addresses()[0].clone()).await?;
    let a = Client::open(&context.at(format!("zookeeper://{}", proxy.address())), TTL, LIMIT).await?;
    let b = Client::open(&context, TTL, LIMIT).await?;
    let other = lock("kept");
    let (removed, kept) = (a.hold(&lock("removed")).await?, a.hold(&other).await?);
    sleep(Duration::from_millis(100)).await;
    proxy.hold(Direction::Both);
    proxy.cut();
    assert!(b.session.evict(&lock("removed"), removed.seq).await?);
    proxy.heal().await?;
    assert!(matches!(soon("the loss", a.session.lost()).await, Loss::Entry(nonce) if nonce == removed.nonce));
    assert!(at_last("leave", || a.session.leave(&other, &kept)).await?, "the session did not survive");
    Ok(())
}

async fn an_offset_at_the_end_of_its_range(context: Context) -> Result<(), Failure> {
    let a = Client::open(&context, TTL, LIMIT).await?;
    let (topics, topic) = (a.session.topics().unwrap(), Name::new("topic")?);
    topics.publish(&topic, b"first", 10).await?;
    for after in [1 << 31, u64::from(u32::MAX), u64::MAX] {
        let read = timeout(Duration::from_millis(100), topics.read(&topic, Offset(after), 1)).await;
        assert!(read.is_err(), "there is no message after {after}");
    }
    Ok(())
}

async fn an_enter_that_failed(context: Context) -> Result<(), Failure> {
    let a = Client::open(&context, TTL, LIMIT).await?;
    let roster = lock("lock");
    let held = a.hold(&roster).await?;
    // From now on entries may be created, but not listed.
    let (raw, path) = (raw(&context).await?, path(&context, &roster));
    let all_but_read = Permission::CREATE | Permission::WRITE | Permission::DELETE | Permission::ADMIN;
    let hidden = vec![Acl::new(all_but_read, "world", "anyone")];
    raw.set_acl(&path, hidden, None).await?;
    let outcome = a.session.enter(&roster, exclusive()).await;
    assert_eq!(outcome.err().map(|error| error.kind()), Some(ErrorKind::AuthFailed));
    raw.set_acl(&path, Acl::open_unsafe().clone(), None).await?;
    let left = a.session.snapshot(&roster, None).await?.entries;
    assert_eq!(left.iter().map(|entry| entry.nonce).collect::<Vec<_>>(), [held.nonce]);
    Ok(())
}

async fn a_foreign_znode(context: Context) -> Result<(), Failure> {
    let (a, b) = (Client::open(&context, TTL, LIMIT).await?, Client::open(&context, TTL, LIMIT).await?);
    let (roster, group) = (lock("lock"), Roster { kind: Kind::Group, name: Name::new("group")? });
    let held = a.hold(&roster).await?;
    a.session.declare(&group).await?;
    let raw = raw(&context).await?;
    let (lock_path, group_path) = (path(&context, &roster), path(&context, &group));
    let open = Acl::open_unsafe().clone();
    raw.create(&format!("{lock_path}/foreign"), vec![1], open.clone(), CreateMode::Persistent).await?;
    let invalid = format!("{group_path}{}", "x".repeat(600));
    raw.create(&invalid, vec![1], open.clone(), CreateMode::Persistent).await?;
    raw.set_data(&invalid, vec![2], None).await?;
    // An entry whose data no client may read.
    let hidden = vec![Acl::new(Permission::DELETE, "world", "anyone")];
    let name = format!("{lock_path}/x:1:{:032x}:", 7);
    raw.create(&name, vec![1], hidden, CreateMode::EphemeralSequential).await?;
    let turn = b.wait(&roster).await?;
    let snapshot = b.session.snapshot(&roster, None).await?;
    assert_eq!(snapshot.entries.len(), 3);
    assert_eq!((snapshot.entries[1].nonce.0, &*snapshot.entries[1].value), (7, &[][..]));
    assert_eq!(b.session.declared(Kind::Group).await?, std::slice::from_ref(&group.name));
    let member =
        NewEntry { key: Key::Unique(b"m", IfTaken::Refuse), mode: Mode::Member, needs_declared: true, ..exclusive() };
    assert!(matches!(b.session.enter(&group, member).await?, Standing::Admitted(_)));
    a.session.leave(&roster, &held).await?;
    assert!(b.session.evict(&roster, snapshot.entries[1].seq).await?);
    soon("the admission", turn).await.unwrap()?;
    Ok(())
}

async fn an_ephemeral_namespace(context: Context) -> Result<(), Failure> {
    let raw = raw(&context).await?;
    let chroot = format!("/{}-ephemeral", context.namespace());
    raw.create(&chroot, vec![], Acl::open_unsafe().clone(), CreateMode::Ephemeral).await?;
    let at = context.at(context.url().replace('?', &format!("{chroot}?")));
    let error = Client::open(&at, TTL, LIMIT).await.err().unwrap().to_string();
    assert!(error.contains(&chroot) && error.contains("another chroot"), "{error}");
    Ok(())
}

async fn the_paths_of_entries(context: Context) -> Result<(), Failure> {
    let a = Client::open(&context, Duration::from_secs(6), LIMIT).await?;
    // Each byte of such a name takes three in a path.
    let roster = |number: u32| lock(&format!("{number:04}{}", "/".repeat(500)));
    let (mut held, mut refused) = (Vec::new(), None);
    for number in 0..1000 {
        match a.session.enter(&roster(number), exclusive()).await {
            Ok(Standing::Admitted(ticket)) => held.push(ticket),
            Ok(other) => panic!("the entry should be admitted, but it is {other:?}"),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    let error = refused.expect("the server takes a megabyte of paths");
    assert!(error.kind() == ErrorKind::Unsupported && error.to_string().contains("ZOOKEEPER-4306"), "{error}");
    assert!(held.len() > 500, "refused after {} entries", held.len());
    // An entry that leaves makes room for another.
    assert!(a.session.leave(&roster(0), &held[0]).await?);
    a.hold(&roster(1000)).await?;
    // The session ends, and the server can still be started.
    drop(a);
    let b = Client::open(&context, TTL, LIMIT).await?;
    at_last("the end of the session", || async {
        let entries = b.session.snapshot(&roster(1), None).await?.entries;
        match entries.is_empty() {
            true => Ok(()),
            false => Err(tooz_core::Error::new(ErrorKind::Unavailable, "the session has not ended")),
        }
    })
    .await?;
    context.server()?.kill().await?;
    context.server()?.start_again().await?;
    let first = roster(1);
    at_last("a snapshot", || b.session.snapshot(&first, None)).await?;
    Ok(())
}

async fn extreme_ttls_and_timeouts(context: Context) -> Result<(), Failure> {
    let driver = context.driver()?;
    let (least, greatest) = driver.info().ttl_range;
    assert_eq!(greatest, Duration::from_millis(i32::MAX as u64));
    for ttl in [Duration::ZERO, least, greatest, Duration::MAX] {
        let session = driver.open(&options(&context, ttl, LIMIT)).await?;
        session.renew().await?;
        session.close().await?;
    }
    let session = driver.open(&options(&context, TTL, Duration::MAX)).await?;
    session.renew().await?;
    session.close().await?;
    Ok(())
}

/// A server that answers as ZooKeeper does at its secure port: with an alert, or with nothing.
async fn a_tls_port(context: Context) -> Result<(), Failure> {
    for answer in [&[0x15, 3, 3, 0, 2, 2, 70][..], &[]] {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let serving = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let _ = client.read(&mut [0; 64]).await;
                let _ = client.write_all(answer).await;
            }
        });
        let plain = context.at(format!("zookeeper://{address}"));
        let opening = timeout(Duration::from_secs(1), Client::open(&plain, TTL, LIMIT)).await;
        let error = opening.expect("the error comes at once").err().unwrap().to_string();
        assert!(error.contains("use_ssl=true") && error.contains(&address), "{error}");
        serving.abort();
    }
    Ok(())
}

async fn a_renewal_needs_no_free_slot(context: Context) -> Result<(), Failure> {
    let proxy = Proxy::start(context.server()?.addresses()[0].clone()).await?;
    let driver = context.at(format!("zookeeper://{}", proxy.address())).driver()?;
    let session: Arc<dyn Session> = driver.open(&options(&context, TTL, LIMIT)).await?.into();
    let raw = raw(&context).await?;
    let parent = format!("/{}/session", context.namespace());
    let heartbeat = format!("{parent}/{}", raw.get_children(&parent, false).await?[0]);
    let before = raw.exists(&heartbeat, false).await?.unwrap().version;
    proxy.hold(Direction::ToClient);
    let flooding = session.clone();
    let flood = tokio::spawn(async move {
        join_all((0..200).map(|_| flooding.enter(&FLOODED, exclusive()))).await;
    });
    sleep(Duration::from_millis(200)).await;
    let _ = timeout(Duration::from_millis(500), session.renew()).await;
    let after = raw.exists(&heartbeat, false).await?.unwrap().version;
    assert_eq!(after, before + 1, "the renewal was not sent");
    flood.abort();
    proxy.heal().await?;
    Ok(())
}

static FLOODED: std::sync::LazyLock<Roster> = std::sync::LazyLock::new(|| lock("flooded"));
