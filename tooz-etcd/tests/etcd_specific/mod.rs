//! Trials of what only etcd does, and their helpers.

#![allow(dead_code, reason = "each test program uses a part")]

pub(crate) mod cost;
pub(crate) mod failures;
pub(crate) mod foreign_keys;
pub(crate) mod forwarder;
pub(crate) mod members;
pub(crate) mod queue;
pub(crate) mod restore;
pub(crate) mod tls;
pub(crate) mod users;

use std::num::NonZeroU32;
use std::time::Duration;

use etcd_client::{Client, GetOptions};
use tokio::time::{Instant, sleep};
use tooz_conformance::{Context, Failure, ensure};
use tooz_core::driver::{IfBlocked, Key, Kind, Mode, NewEntry, Nonce, Roster, Session, Standing, Ticket};
use tooz_core::{Error, ErrorKind, Name};

/// The longest time that an expected event may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// The lock of the trials.
pub(crate) fn lock() -> Roster {
    Roster { kind: Kind::Lock, name: Name::new("lock").expect("it is short") }
}

/// An entry as for a mutex.
pub(crate) fn exclusive() -> NewEntry<'static> {
    NewEntry {
        nonce: Nonce::random(),
        key: Key::Nonce,
        mode: Mode::Exclusive,
        limit: NonZeroU32::MIN,
        if_blocked: IfBlocked::Wait,
        needs_declared: false,
        value: b"",
    }
}

/// Enters and must be admitted.
pub(crate) async fn hold(session: &dyn Session) -> Outcome<Ticket> {
    match session.enter(&lock(), exclusive()).await? {
        Standing::Admitted(ticket) => Ok(ticket),
        other => Err(Failure::new(format!("it must be admitted, but is {other:?}"))),
    }
}

/// Enters and must have to wait.
pub(crate) async fn wait(session: &dyn Session) -> Outcome<Ticket> {
    match session.enter(&lock(), exclusive()).await? {
        Standing::Waiting { ticket, .. } => Ok(ticket),
        other => Err(Failure::new(format!("it must wait, but is {other:?}"))),
    }
}

/// A client of the servers, for the commands of an operator.
pub(crate) async fn operator(context: &Context) -> Outcome<Client> {
    let addresses: Vec<_> = context.url().trim_start_matches("etcd://").split(',').collect();
    Ok(Client::connect(addresses, None).await?)
}

/// The lease of the only session in the namespace.
pub(crate) async fn lease_of_session(context: &Context, client: &mut Client) -> Outcome<i64> {
    let prefix = format!("/{}/session/", context.namespace());
    let found = client.get(prefix, Some(GetOptions::new().with_prefix())).await?;
    ensure!(found.kvs().len() == 1, "there are {} sessions", found.kvs().len());
    Ok(found.kvs()[0].lease())
}

/// Removes all history.
pub(crate) async fn compact(client: &mut Client) -> Outcome {
    let answer = client.get("x", None).await?;
    let revision = answer.header().map_or(0, |header| header.revision());
    client.compact(revision, None).await?;
    Ok(())
}

/// Checks that the outcome is an error of this kind whose text contains `says`.
pub(crate) fn fails<T>(outcome: Result<T, Error>, kind: ErrorKind, says: &str) -> Outcome {
    match outcome {
        Ok(_) => Err(Failure::new(format!("it must fail with {kind:?}"))),
        Err(error) => {
            ensure!(error.kind() == kind && error.to_string().contains(says), "it failed otherwise: {error}");
            Ok(())
        }
    }
}

/// Repeats a call that fails with a retryable error, as core does.
pub(crate) async fn insist<T, F: Future<Output = Result<T, Error>>>(mut call: impl FnMut() -> F) -> Result<T, Error> {
    let end = Instant::now() + PATIENCE;
    loop {
        match call().await {
            Err(error) if error.is_retryable() && Instant::now() < end => sleep(Duration::from_millis(100)).await,
            outcome => return outcome,
        }
    }
}
