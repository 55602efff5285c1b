//! The driver on a primary with a synchronous standby, against the suite, and over a failover.

use std::process::ExitCode;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, NoTls};
use tooz_conformance::servers::postgres;
use tooz_conformance::{Context, Failure, Harness, Needs, ensure, ensure_eq};
use tooz_postgres::DRIVER;

fn main() -> ExitCode {
    let url = |hosts: &[String]| format!("postgres://postgres@{}/postgres", hosts.join(","));
    let harness = Harness::new("postgres-standby", DRIVER, postgres::with_standby(), url);
    let needs = Needs::OWN_SERVER.within(Duration::from_secs(120));
    tooz_conformance::main(harness.trial("postgres::a_failover_keeps_locks", needs, a_failover_keeps_locks).trial(
        "postgres::servers_that_were_restored_confirm_commits",
        needs,
        restored_servers_confirm_commits,
    ))
}

async fn a_failover_keeps_locks(context: Context) -> Result<(), Failure> {
    let context = context.with_ttl(Duration::from_secs(60));
    let (a, b) = (context.coordinator("a").await?, context.coordinator("b").await?);
    let held = a.lock("l").acquire().await?;
    let token = held.fencing_token();
    let server = context.server()?;
    server.node("primary")?.kill().await?;
    promote(server.node("standby")?.port()).await?;
    timeout(Duration::from_secs(30), async {
        while held.verify().await.is_err() {
            sleep(Duration::from_millis(100)).await;
        }
    })
    .await?;
    ensure!(b.lock("l").try_acquire().await?.is_none(), "the lock was granted twice");
    held.release().await?;
    let next = timeout(Duration::from_secs(30), b.lock("l").acquire()).await??;
    ensure!(next.fencing_token() > token, "{} is not above {token}", next.fencing_token());
    Ok(())
}

/// A standby that has started before its primary tries again after a while. Clients would lose their sessions meanwhile.
async fn restored_servers_confirm_commits(context: Context) -> Result<(), Failure> {
    let server = context.server()?;
    server.save().await?;
    for _ in 0..2 {
        server.restore().await?;
        let primary = connect(server.node("primary")?.port()).await?;
        let row = primary.query_one("SELECT count(*) FROM pg_stat_replication", &[]).await?;
        ensure_eq!(row.get::<_, i64>(0), 1);
    }
    server.empty().await?;
    drop(context.coordinator("a").await?.lock("l").acquire().await?);
    Ok(())
}

async fn promote(port: u16) -> Result<(), Failure> {
    connect(port).await?.query_one("SELECT pg_promote()", &[]).await?;
    Ok(())
}

async fn connect(port: u16) -> Result<Client, Failure> {
    let options = format!("host=127.0.0.1 port={port} user={} dbname=postgres", postgres::USER);
    let (client, connection) = tokio_postgres::connect(&options, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
