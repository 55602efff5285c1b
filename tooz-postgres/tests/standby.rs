//! The driver on a primary with a synchronous standby, against the suite, and over a failover.

use std::process::ExitCode;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_postgres::NoTls;
use tooz_conformance::servers::postgres;
use tooz_conformance::{Context, Failure, Harness, Needs, ensure};
use tooz_postgres::DRIVER;

fn main() -> ExitCode {
    let url = |hosts: &[String]| format!("postgres://postgres@{}/postgres", hosts.join(","));
    let harness = Harness::new("postgres-standby", DRIVER, postgres::with_standby(), url);
    let needs = Needs::OWN_SERVER.within(Duration::from_secs(120));
    tooz_conformance::main(harness.trial("postgres::a_failover_keeps_locks", needs, a_failover_keeps_locks))
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

async fn promote(port: u16) -> Result<(), Failure> {
    let options = format!("host=127.0.0.1 port={port} user=postgres dbname=postgres");
    let (client, connection) = tokio_postgres::connect(&options, NoTls).await?;
    let connection = tokio::spawn(connection);
    client.query_one("SELECT pg_promote()", &[]).await?;
    connection.abort();
    Ok(())
}
