//! What several test programs share.

use std::future::poll_fn;

use tokio_postgres::{Client, NoTls};
use tooz_conformance::servers::postgres;
use tooz_conformance::{Context, Failure, Harness};
use tooz_postgres::DRIVER;

/// A harness for trials of the driver's own, on a single server.
pub(crate) fn harness(name: &str) -> Harness {
    let url = |hosts: &[String]| format!("postgres://postgres@{}/postgres", hosts[0]);
    Harness::new(name, DRIVER, postgres::single(), url).only_own()
}

/// A connection of the superuser.
pub(crate) async fn admin(context: &Context) -> Result<Client, Failure> {
    let (client, mut connection) = tokio_postgres::connect(context.url(), NoTls).await?;
    tokio::spawn(async move { while let Some(Ok(_)) = poll_fn(|context| connection.poll_message(context)).await {} });
    Ok(client)
}
