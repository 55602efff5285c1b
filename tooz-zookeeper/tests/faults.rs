//! Faults of the client crates that the driver must compensate for, each with a server that fails.

#![expect(clippy::unwrap_used, reason = "a panic is how these tests fail")]

mod support;

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tooz_conformance::proxy::{Direction, Proxy};
use tooz_conformance::servers::{Deployment, zookeeper};
use tooz_conformance::{Context, Failure, Harness, Needs};
use tooz_core::driver::{Loss, NewEntry, Offset};
use tooz_core::{ErrorKind, Name};

use self::support::{Client, Switch, at_last, counted, exclusive, lock, soon, znodes};

const TTL: Duration = Duration::from_secs(30);
const LIMIT: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let own = Needs::OWN_SERVER;
    let harness = Harness::new(support::named("faults"), tooz_zookeeper::DRIVER, zookeeper::single(), support::url);
    tooz_conformance::main(
        harness
            .only_own()
            .trial("a_restart_loses_no_watch", own, a_restart_loses_no_watch)
            .trial("a_session_that_was_replaced_silently_is_lost", own, a_session_that_was_replaced_silently_is_lost)
            .trial(
                "an_operation_that_runs_late_leaves_nothing",
                Needs::PROXY,
                an_operation_that_runs_late_leaves_nothing,
            )
            .trial("callers_that_give_up_do_not_flood_the_server", own, callers_that_give_up)
            .trial("close_returns_while_the_server_is_frozen", own, close_returns_while_the_server_is_frozen)
            .trial("close_returns_while_the_server_is_gone", own, close_returns_while_the_server_is_gone)
            .trial(
                "the_loss_is_reported_before_the_server_returns",
                own,
                the_loss_is_reported_before_the_server_returns,
            )
            .trial(
                "a_connection_that_is_lost_while_a_session_opens_is_replaced",
                Needs::NOTHING,
                a_connection_that_is_lost_while_a_session_opens_is_replaced,
            )
            .trial("a_host_that_never_answers_is_skipped", Needs::NOTHING, a_host_that_never_answers)
            .trial("an_entry_that_leaves_at_once_costs_no_watch", own, an_entry_that_leaves_at_once_costs_no_watch)
            .trial("credentials_are_sent_again_after_a_restart", own, credentials_are_sent_again_after_a_restart)
            .trial("a_runtime_that_ends_with_open_watches_causes_no_panic", Needs::NOTHING, a_runtime_that_ends)
            .trial("unused_rosters_are_removed", own, unused_rosters_are_removed)
            .trial("a_value_over_the_limit_is_a_clear_error", Needs::NOTHING, a_value_over_the_limit_is_a_clear_error),
    )
}

async fn a_restart_loses_no_watch(context: Context) -> Result<(), Failure> {
    let (a, b) = (Client::open(&context, TTL, LIMIT).await?, Client::open(&context, TTL, LIMIT).await?);
    let (roster, topic) = (lock("lock"), Name::new("topic")?);
    let held = a.hold(&roster).await?;
    let evicted = a.hold(&lock("evicted")).await?;
    let turn = b.wait(&roster).await?;
    let (watcher, seen) = (b.session.clone(), b.session.snapshot(&lock("watched"), None).await?.version);
    let watch = tokio::spawn(async move { at_last("a snapshot", || watcher.snapshot(&WATCHED, Some(seen))).await });
    let reader = b.session.clone();
    let message = tokio::spawn(async move {
        let topics = reader.topics().unwrap();
        let topic = Name::new("topic").unwrap();
        at_last("a message", || topics.read(&topic, Offset(0), 1)).await
    });
    sleep(Duration::from_millis(200)).await;
    context.server()?.kill().await?;
    sleep(Duration::from_millis(500)).await;
    context.server()?.start_again().await?;
    // With a session of its own, so that nothing is known from before.
    let c = Client::open(&context, TTL, LIMIT).await?;
    c.hold(&WATCHED).await?;
    c.session.topics().unwrap().publish(&topic, b"news", 10).await?;
    assert!(c.session.evict(&lock("evicted"), evicted.seq).await?);
    assert_eq!(soon("the change of the roster", watch).await.unwrap()?.entries.len(), 1);
    assert_eq!(soon("the message", message).await.unwrap()?[0].payload, b"news");
    assert!(matches!(soon("the loss", a.session.lost()).await, Loss::Entry(nonce) if nonce == evicted.nonce));
    assert!(at_last("leave", || a.session.leave(&roster, &held)).await?, "the session did not survive");
    soon("the admission", turn).await.unwrap()?;
    Ok(())
}

static WATCHED: std::sync::LazyLock<tooz_core::driver::Roster> = std::sync::LazyLock::new(|| lock("watched"));

async fn a_session_that_was_replaced_silently_is_lost(context: Context) -> Result<(), Failure> {
    let other = Deployment::start(&zookeeper::single()).await?;
    let switch = Switch::start(&context.server()?.addresses()[0]).await?;
    let switched = context.at(format!("zookeeper://{}", switch.address));
    let a = Client::open(&switched, TTL, LIMIT).await?;
    a.hold(&lock("lock")).await?;
    // The other server does not know the session. A server that lags behind would refuse the connection instead.
    let there = context.at(format!("zookeeper://{}", other.addresses()[0]));
    let c = Client::open(&there, TTL, LIMIT).await?;
    for _ in 0..200 {
        c.session.renew().await?;
    }
    switch.point_at(&other.addresses()[0]);
    let before = Instant::now();
    match soon("the loss", a.session.lost()).await {
        Loss::Session(error) => assert!(error.is_session_lost()),
        Loss::Entry(_) => panic!("the loss of an entry was reported instead of the session's"),
        other => panic!("something else was reported: {other:?}"),
    }
    assert!(before.elapsed() < TTL / 2, "the timer reported it, after {:?}", before.elapsed());
    assert!(a.session.enter(&lock("lock"), exclusive()).await.is_err_and(|error| error.is_session_lost()));
    // Nothing is left of the session that the client crate has opened by itself.
    assert!(c.session.snapshot(&lock("lock"), None).await?.entries.is_empty());
    other.remove().await?;
    Ok(())
}

async fn an_operation_that_runs_late_leaves_nothing(context: Context) -> Result<(), Failure> {
    let (through, proxies) = context.proxied().await?;
    let limit = Duration::from_secs(1);
    let (a, b) = (Client::open(&through, TTL, limit).await?, Client::open(&context, TTL, LIMIT).await?);
    let roster = lock("lock");
    for _ in 0..3 {
        let entries: Vec<_> = (0..10).map(|_| exclusive()).collect();
        proxies.hold(Direction::ToServer);
        let enters = entries.iter().map(|entry| a.session.enter(&roster, *entry));
        for outcome in futures_util::future::join_all(enters).await {
            assert!(outcome.is_err_and(|error| error.is_retryable()), "the server answered though it was not asked");
        }
        proxies.heal().await?;
        for entry in &entries {
            at_last("withdraw", || a.session.withdraw(&roster, entry.nonce)).await?;
        }
        sleep(Duration::from_millis(300)).await;
        let left = b.session.snapshot(&roster, None).await?.entries;
        assert!(left.is_empty(), "{} entries were left behind", left.len());
    }
    Ok(())
}

async fn callers_that_give_up(context: Context) -> Result<(), Failure> {
    let address = &context.server()?.addresses()[0];
    let proxy = Proxy::start(address.clone()).await?;
    let a = Client::open(&context.at(format!("zookeeper://{}", proxy.address())), TTL, LIMIT).await?;
    let roster = lock("lock");
    let held = a.hold(&roster).await?;
    let before = counted(address, "zk_packets_received").await?;
    proxy.hold(Direction::ToClient);
    for _ in 0..300 {
        let _ = timeout(Duration::from_millis(1), a.session.enter(&roster, exclusive())).await;
    }
    let sent = counted(address, "zk_packets_received").await? - before;
    // At most 48 requests are in flight, and their slots are free again after the timeout.
    assert!(sent < 150, "300 callers without an answer sent {sent} requests");
    proxy.heal().await?;
    assert!(at_last("leave", || a.session.leave(&roster, &held)).await?, "the session did not survive");
    Ok(())
}

async fn close_returns_while_the_server_is_frozen(context: Context) -> Result<(), Failure> {
    let a = Client::open(&context, TTL, LIMIT).await?;
    a.hold(&lock("lock")).await?;
    context.server()?.pause().await?;
    close_returns(&a).await
}

async fn close_returns_while_the_server_is_gone(context: Context) -> Result<(), Failure> {
    let a = Client::open(&context, TTL, LIMIT).await?;
    a.hold(&lock("lock")).await?;
    context.server()?.kill().await?;
    sleep(Duration::from_millis(300)).await;
    close_returns(&a).await
}

async fn close_returns(a: &Client) -> Result<(), Failure> {
    let closed = timeout(LIMIT + Duration::from_millis(500), a.session.close()).await;
    let outcome = closed.map_err(|_| Failure::new("close hung"))?;
    assert_eq!(outcome.err().map(|error| error.kind()), Some(ErrorKind::Unavailable));
    a.session.close().await?;
    assert!(a.session.renew().await.is_err_and(|error| error.is_session_lost()));
    Ok(())
}

async fn the_loss_is_reported_before_the_server_returns(context: Context) -> Result<(), Failure> {
    let ttl = Duration::from_secs(4);
    let a = Client::open(&context, ttl, LIMIT).await?;
    a.hold(&lock("lock")).await?;
    let granted = a.session.ttl().unwrap();
    assert!(granted <= ttl, "the TTL is {granted:?}, but {ttl:?} was asked for");
    context.server()?.pause().await?;
    let paused = Instant::now();
    assert!(matches!(soon("the loss", a.session.lost()).await, Loss::Session(_)));
    assert!(paused.elapsed() < granted + Duration::from_millis(200), "reported after {:?}", paused.elapsed());
    context.server()?.resume().await?;
    let b = Client::open(&context, ttl, LIMIT).await?;
    at_last("renew", || b.session.renew()).await?;
    Ok(())
}

async fn a_host_that_never_answers(context: Context) -> Result<(), Failure> {
    // The kernel accepts connections, but no program reads from them.
    let hole = TcpListener::bind("127.0.0.1:0").await?;
    let silent = hole.local_addr()?.to_string();
    let url = format!("{}&randomize_hosts=no", support::url(&[silent.clone(), support::hosts(&context)]));
    let a = Client::open(&context.at(url), TTL, LIMIT).await?;
    a.hold(&lock("lock")).await?;
    let alone = context.at(support::url(std::slice::from_ref(&silent)));
    let error = timeout(LIMIT * 2, Client::open(&alone, TTL, LIMIT)).await.map_err(|_| Failure::new("open hung"))?;
    let error = error.err().unwrap().to_string();
    assert!(error.contains(&silent) && error.contains("no answer"), "{error}");
    Ok(())
}

async fn credentials_are_sent_again_after_a_restart(context: Context) -> Result<(), Failure> {
    let address = &context.server()?.addresses()[0];
    let a = Client::open(&context.at(format!("zookeeper://u:p@{address}")), TTL, LIMIT).await?;
    let roster = lock("lock");
    let held = a.hold(&roster).await?;
    for url in [format!("zookeeper://u:wrong@{address}"), format!("zookeeper://{address}")] {
        let error = Client::open(&context.at(url), TTL, LIMIT).await.err().unwrap().to_string();
        assert!(error.contains("credentials") && !error.contains("wrong"), "{error}");
    }
    context.server()?.kill().await?;
    context.server()?.start_again().await?;
    assert!(at_last("leave", || a.session.leave(&roster, &held)).await?);
    a.hold(&lock("another")).await?;
    Ok(())
}

async fn an_entry_that_leaves_at_once_costs_no_watch(context: Context) -> Result<(), Failure> {
    let address = &context.server()?.addresses()[0];
    let a = Client::open(&context, TTL, LIMIT).await?;
    let (roster, pairs) = (lock("lock"), 200);
    let first = a.hold(&roster).await?;
    a.session.leave(&roster, &first).await?;
    let before = counted(address, "zk_packets_received").await?;
    for _ in 0..pairs {
        let held = a.hold(&roster).await?;
        a.session.leave(&roster, &held).await?;
    }
    let packets = counted(address, "zk_packets_received").await? - before;
    assert!(packets < pairs * 7 / 2, "{packets} requests for {pairs} pairs: more than create, list and delete");
    sleep(Duration::from_millis(100)).await;
    assert_eq!(counted(address, "zk_watch_count").await?, 0, "a watch was left behind");
    // The removal of such an entry by another session is reported all the same.
    let evicted = a.hold(&roster).await?;
    let b = Client::open(&context, TTL, LIMIT).await?;
    assert!(b.session.evict(&roster, evicted.seq).await?);
    assert!(matches!(soon("the loss", a.session.lost()).await, Loss::Entry(nonce) if nonce == evicted.nonce));
    Ok(())
}

async fn a_runtime_that_ends(context: Context) -> Result<(), Failure> {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // The files of trials, which fail by panics too, are elsewhere.
        if panic.location().is_some_and(|location| location.file().contains("/zookeeper-")) {
            PANICS.fetch_add(1, Ordering::SeqCst);
        }
        report(panic);
    }));
    // The session is opened in a runtime that ends, and used in this one.
    let opening = context.clone();
    let open = move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(Client::open(&opening, TTL, LIMIT)).map(|client| (client, runtime))
    };
    let (a, runtime) = tokio::task::spawn_blocking(open).await??;
    for number in 0..20 {
        a.hold(&lock(&number.to_string())).await?;
    }
    // The watches on the entries are set.
    sleep(Duration::from_millis(200)).await;
    runtime.shutdown_background();
    sleep(Duration::from_millis(200)).await;
    drop(a);
    sleep(Duration::from_millis(200)).await;
    assert_eq!(PANICS.load(Ordering::SeqCst), 0, "a client crate panicked");
    Ok(())
}

async fn a_connection_that_is_lost_while_a_session_opens_is_replaced(context: Context) -> Result<(), Failure> {
    let proxy = Proxy::start(support::hosts(&context)).await?;
    proxy.delay(Duration::from_millis(300));
    let proxied = context.at(support::url(&[proxy.address()]));
    let opening = tokio::spawn(async move { Client::open(&proxied, TTL, 5 * LIMIT).await });
    // The first two connections ask the server. The third one is that of the session, and its first reply is on the way.
    while proxy.traffic().connections < 3 {
        sleep(Duration::from_millis(10)).await;
    }
    proxy.cut();
    proxy.heal().await?;
    soon("the session", opening).await.unwrap()?.hold(&lock("lock")).await?;
    Ok(())
}

async fn unused_rosters_are_removed(context: Context) -> Result<(), Failure> {
    let address = &context.server()?.addresses()[0];
    let a = Client::open(&context, TTL, LIMIT).await?;
    a.hold(&lock("first")).await?;
    let before = znodes(address).await?;
    let b = Client::open(&context, TTL, LIMIT).await?;
    for number in 0..50 {
        let roster = lock(&format!("lock {number}"));
        let ticket = b.hold(&roster).await?;
        if number % 2 == 0 {
            b.session.leave(&roster, &ticket).await?;
        }
    }
    b.session.close().await?;
    assert_eq!(znodes(address).await?, before, "close left something behind");
    let held = a.hold(&lock("second")).await?;
    a.session.leave(&lock("second"), &held).await?;
    sleep(Duration::from_secs(27)).await;
    assert_eq!(znodes(address).await?, before, "the znode of an idle roster was not removed");
    a.hold(&lock("second")).await?;
    Ok(())
}

async fn a_value_over_the_limit_is_a_clear_error(context: Context) -> Result<(), Failure> {
    let a = Client::open(&context, TTL, LIMIT).await?;
    let value = vec![0; 1 << 20];
    let error = a.session.enter(&lock("lock"), NewEntry { value: &value, ..exclusive() }).await.err().unwrap();
    assert!(error.kind() == ErrorKind::InvalidOption && error.to_string().contains("1048576"), "{error}");
    let error = a.session.topics().unwrap().publish(&Name::new("t")?, &value, 1).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidOption);
    // The largest value that the driver accepts fits.
    let value = vec![0; (1 << 20) - 600];
    let ticket = a.hold(&lock("lock")).await?;
    a.session.replace(&lock("lock"), &ticket, &value).await?;
    assert_eq!(a.session.snapshot(&lock("lock"), None).await?.entries[0].value.len(), value.len());
    Ok(())
}
