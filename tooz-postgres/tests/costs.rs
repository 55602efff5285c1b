//! What the driver costs: the bytes that a follower receives, the locks that a request waits for, and the rows that stay.

mod support;

use std::num::NonZeroU32;
use std::process::ExitCode;
use std::time::Duration;

use support::{admin, harness};
use tokio::time::timeout;
use tooz_conformance::{Context, Failure, Needs, ensure, ensure_eq, fail};
use tooz_core::Name;
use tooz_core::driver::{
    Change, IfBlocked, Key, Kind, Mode, NewEntry, Nonce, Roster, Session, Standing, Ticket, Update,
};

const SOON: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let own = Needs::OWN_SERVER;
    tooz_conformance::main(
        harness("postgres-costs")
            .trial("costs::a_change_costs_a_follower_one_message", own, a_change_costs_one_message)
            .trial("costs::a_large_value_reaches_followers", own, a_large_value_reaches_followers)
            .trial("costs::different_locks_do_not_wait_for_each_other", own, different_locks_do_not_wait)
            .trial("costs::pairs_leave_nothing_behind", own, pairs_leave_nothing_behind),
    )
}

fn roster(kind: Kind, name: &str) -> Result<Roster, Failure> {
    Ok(Roster { kind, name: Name::new(name)? })
}

async fn join(session: &dyn Session, roster: &Roster, value: &[u8]) -> Result<Ticket, Failure> {
    let entry = NewEntry {
        nonce: Nonce::random(),
        key: Key::Nonce,
        mode: if roster.kind == Kind::Group { Mode::Member } else { Mode::Exclusive },
        limit: NonZeroU32::MIN,
        if_blocked: IfBlocked::Wait,
        needs_declared: false,
        value,
    };
    match session.enter(roster, entry).await? {
        Standing::Admitted(ticket) => Ok(ticket),
        other => fail!("{other:?} in an empty roster"),
    }
}

async fn a_change_costs_one_message(context: Context) -> Result<(), Failure> {
    const MEMBERS: usize = 300;
    const CHANGES: u64 = 20;
    let context = context.with_ttl(Duration::from_secs(60));
    let (proxied, proxies) = context.proxied().await?;
    let (session, following) = (context.session("a").await?, proxied.session("b").await?);
    let group = roster(Kind::Group, "g")?;
    for _ in 0..MEMBERS {
        join(&*session, &group, &[7; 500]).await?;
    }
    let mut follower = following.follow(&group);
    let Update::Snapshot(snapshot) = timeout(SOON, follower.next()).await?? else { fail!("no snapshot") };
    ensure_eq!(snapshot.entries.len(), MEMBERS);
    let before = proxies.traffic();
    ensure!(before.bytes_to_client > 300 * 500, "the snapshot took {} bytes", before.bytes_to_client);
    for _ in 0..CHANGES / 2 {
        let ticket = join(&*session, &group, b"value").await?;
        session.leave(&group, &ticket).await?;
        for expected in ["Entered", "Left"] {
            let update = timeout(SOON, follower.next()).await??;
            ensure!(matches!(&update, Update::Changes(changes) if changes.len() == 1), "{update:?}, not {expected}");
        }
    }
    // The session looks at the server every 2 s, too.
    let bytes = proxies.traffic().bytes_to_client - before.bytes_to_client;
    ensure!(bytes < CHANGES * 1_000, "{CHANGES} changes took {bytes} bytes");
    Ok(())
}

async fn a_large_value_reaches_followers(context: Context) -> Result<(), Failure> {
    let (session, following) = (context.session("a").await?, context.session("b").await?);
    let group = roster(Kind::Group, "g")?;
    let mut follower = following.follow(&group);
    timeout(SOON, follower.next()).await??;
    // Parts that are equal must not be taken for one.
    let (first, second) = (vec![0; 100_000], vec![b'x'; 3_000]);
    let ticket = join(&*session, &group, &first).await?;
    session.replace(&group, &ticket, &second).await?;
    match timeout(SOON, follower.next()).await?? {
        Update::Changes(changes) => {
            ensure!(matches!(&changes[..], [Change::Entered(entry)] if entry.value == first), "another value entered");
        }
        other => fail!("{other:?}"),
    }
    let replaced = Update::Changes(vec![Change::Replaced { seq: ticket.seq, value: second }]);
    ensure_eq!(timeout(SOON, follower.next()).await??, replaced);
    Ok(())
}

async fn different_locks_do_not_wait(context: Context) -> Result<(), Failure> {
    let (admin, session) = (admin(&context).await?, context.session("a").await?);
    let lock_of =
        |name| format!("SELECT pg_advisory_xact_lock(tooz.lock_key('{}', 'lock', '{name}'))", context.namespace());
    admin.batch_execute(&format!("BEGIN; {}", lock_of("a"))).await?;
    for name in (0..64).map(|number| format!("b{number}")) {
        timeout(SOON, join(&*session, &roster(Kind::Lock, &name)?, b"")).await??;
    }
    ensure!(join(&*session, &roster(Kind::Lock, "a")?, b"").await.is_err(), "the lock of the roster protects nothing");
    Ok(())
}

async fn pairs_leave_nothing_behind(context: Context) -> Result<(), Failure> {
    let context = context.with_ttl(Duration::from_secs(60));
    let (admin, session) = (admin(&context).await?, context.session("a").await?);
    let mut sizes = Vec::new();
    for _ in 0..4 {
        for number in 0..300 {
            let lock = roster(Kind::Lock, &format!("l{}", number % 50))?;
            let ticket = join(&*session, &lock, b"").await?;
            ensure!(session.leave(&lock, &ticket).await?);
        }
        admin.batch_execute("VACUUM").await?;
        let tables = "SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
                      WHERE nspname = 'tooz' AND relkind = 'r'";
        sizes.push(admin.query_one(tables, &[]).await?.get::<_, i64>(0));
        let rows = "SELECT (SELECT count(*) FROM tooz.entry) + (SELECT count(*) FROM tooz.declared) + (SELECT count(*) FROM tooz.watch)";
        ensure_eq!(admin.query_one(rows, &[]).await?.get::<_, i64>(0), 0);
    }
    ensure!(sizes[3] <= sizes[1], "the tables grow: {sizes:?} bytes");
    Ok(())
}
