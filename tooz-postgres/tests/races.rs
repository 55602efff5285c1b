//! Watches of names while other clients add names, remove dead sessions or vacuum: none waits for long, and none misses a name.

mod support;

use std::process::ExitCode;
use std::time::Duration;

use support::{admin, harness};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tooz_conformance::{Context, Failure, Needs, ensure_eq, fail};
use tooz_core::Name;
use tooz_core::driver::{IfBlocked, Key, Kind, Mode, NewEntry, NewName, Nonce, Roster, Session};

const SOON: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let own = Needs::OWN_SERVER;
    tooz_conformance::main(
        harness("postgres-races")
            .trial("races::a_name_that_is_being_added_is_not_missed", own, a_name_that_is_being_added)
            .trial("races::a_watch_of_names_waits_for_no_vacuum", own, a_watch_waits_for_no_vacuum)
            .trial("races::watches_joins_and_cleaning_do_not_block_each_other", own, nothing_blocks),
    )
}

/// A session with generous times, so that only a circle of waits exceeds them.
async fn session(context: &Context, ttl: Duration) -> Result<Box<dyn Session>, Failure> {
    let mut options = context.session_options("member")?;
    (options.ttl, options.timeout) = (ttl, SOON);
    Ok(context.driver()?.open(&options).await?)
}

fn lock(name: String) -> Result<Roster, Failure> {
    Ok(Roster { kind: Kind::Lock, name: Name::new(name)? })
}

async fn enter(session: &dyn Session, roster: &Roster) -> tooz_core::Result<Nonce> {
    let nonce = Nonce::random();
    let entry = NewEntry {
        nonce,
        key: Key::Nonce,
        mode: Mode::Exclusive,
        limit: std::num::NonZeroU32::MIN,
        if_blocked: IfBlocked::Wait,
        needs_declared: false,
        value: b"",
    };
    session.enter(roster, entry).await.map(|_| nonce)
}

/// Watches the names of locks until one is listed.
async fn watch_until(session: &dyn Session, name: &Name) -> Result<(), Failure> {
    let changed = Notify::new();
    let notify = |_: NewName| changed.notify_one();
    let listed = async {
        loop {
            changed.notified().await;
            if session.rosters(Kind::Lock, None, 1_000).await?.contains(name) {
                return tooz_core::Result::Ok(());
            }
        }
    };
    let seen = async {
        tokio::select! {
            ended = session.watch_names(&notify) => ended.map(|never| match never {}),
            listed = listed => listed,
        }
    };
    match timeout(SOON, seen).await {
        Ok(seen) => Ok(seen?),
        Err(_) => fail!("the watch did not report {name}, which was being added when it began"),
    }
}

/// Triggers make each transaction that adds a name take 300 ms after it has looked for watches.
async fn a_name_that_is_being_added(context: Context) -> Result<(), Failure> {
    let (admin, _installed) = (admin(&context).await?, session(&context, LONG).await?);
    let slow =
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END';
                CREATE TRIGGER slow AFTER INSERT ON tooz.entry EXECUTE FUNCTION slow()";
    admin.batch_execute(slow).await?;
    let mut rounds = JoinSet::new();
    for round in 0..10 {
        let context = context.in_another_namespace();
        rounds.spawn(async move {
            let (a, b) = (session(&context, LONG).await?, session(&context, LONG).await?);
            let roster = lock(format!("l{round}"))?;
            let begun = async {
                sleep(Duration::from_millis(30) * round).await;
                watch_until(&*b, &roster.name).await
            };
            let (entered, seen) = tokio::join!(enter(&*a, &roster), begun);
            entered?;
            seen
        });
    }
    while let Some(round) = rounds.join_next().await {
        round??;
    }
    Ok(())
}

async fn a_watch_waits_for_no_vacuum(context: Context) -> Result<(), Failure> {
    let (admin, a) = (admin(&context).await?, session(&context, LONG).await?);
    // The lock that a vacuum holds while it runs.
    admin.batch_execute("BEGIN; LOCK TABLE tooz.entry, tooz.declared IN SHARE UPDATE EXCLUSIVE MODE").await?;
    let roster = lock("l".to_owned())?;
    enter(&*a, &roster).await?;
    watch_until(&*a, &roster.name).await
}

/// The server looks for no deadlock here, so transactions that wait for each other in a circle fail by their timeout.
async fn nothing_blocks(context: Context) -> Result<(), Failure> {
    const CLIENTS: usize = 4;
    let (admin, _installed) = (admin(&context).await?, session(&context, LONG).await?);
    admin.batch_execute("ALTER SYSTEM SET deadlock_timeout = '10min'").await?;
    admin.batch_execute("SELECT pg_reload_conf()").await?;
    let end = Instant::now() + Duration::from_secs(6);
    let mut clients = JoinSet::new();
    for namespace in [context.in_another_namespace(), context.in_another_namespace()] {
        for number in 0..CLIENTS {
            let (joining, watching, dying) = (namespace.clone(), namespace.clone(), namespace.clone());
            clients.spawn(async move { join_until(end, &joining, number).await });
            clients.spawn(async move { watch_often_until(end, &watching).await });
            clients.spawn(async move { die_until(end, &dying).await });
        }
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    let deadlocks = "SELECT sum(deadlocks)::bigint FROM pg_stat_database";
    ensure_eq!(admin.query_one(deadlocks, &[]).await?.get::<_, i64>(0), 0);
    Ok(())
}

/// Enters and leaves locks that dead sessions hold, too.
async fn join_until(end: Instant, context: &Context, number: usize) -> Result<(), Failure> {
    let session = session(context, LONG).await?;
    for turn in (number..).take_while(|_| Instant::now() < end) {
        let roster = lock(format!("l{}", turn % 20))?;
        let nonce = enter(&*session, &roster).await?;
        session.withdraw(&roster, nonce).await?;
    }
    Ok(())
}

/// Begins a watch of the names again and again, each in a session of its own.
async fn watch_often_until(end: Instant, context: &Context) -> Result<(), Failure> {
    while Instant::now() < end {
        let session = session(context, LONG).await?;
        let begun = Notify::new();
        let notify = |_: NewName| begun.notify_one();
        tokio::select! {
            ended = session.watch_names(&notify) => ended.map(drop)?,
            () = begun.notified() => {}
        }
        session.close().await?;
    }
    Ok(())
}

/// Leaves sessions with 20 entries behind, which the other clients remove.
async fn die_until(end: Instant, context: &Context) -> Result<(), Failure> {
    while Instant::now() < end {
        let session = session(context, Duration::from_millis(500)).await?;
        for number in (0..20).rev() {
            // The session may be over before it has all.
            enter(&*session, &lock(format!("l{number}"))?).await.ok();
        }
    }
    Ok(())
}
