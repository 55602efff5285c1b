//! Sessions that are renewed, short constructors, and a forwarder that can be pointed at another server.

// Each test program uses its own part of this.
#![allow(dead_code)]

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tooz_conformance::{Context, Failure, Harness};
use tooz_core::driver::{
    IfBlocked, Key, Kind, Mode, NewEntry, Nonce, Roster, Session, SessionOptions, Standing, Ticket,
};
use tooz_core::{ErrorKind, Name, Result};

/// The client crate that the variable `TOOZ_TEST_ZOOKEEPER_CLIENT` names; the feature `tls` adds zookeeper-client.
fn client() -> String {
    std::env::var("TOOZ_TEST_ZOOKEEPER_CLIENT").unwrap_or_else(|_| "zookeeper-async".to_owned())
}

/// The name of a harness, which includes the client crate unless that is the default one.
pub(crate) fn named(what: &str) -> String {
    let client = client();
    format!("{}-{what}", if client == "zookeeper-async" { "zookeeper" } else { &client })
}

/// The URL for these servers and the client crate under test.
pub(crate) fn url(hosts: &[String]) -> String {
    format!("zookeeper://{}?client={}", hosts.join(","), client())
}

/// The servers of a URL made by [`url`].
pub(crate) fn hosts(context: &Context) -> String {
    context.url().trim_start_matches("zookeeper://").split('?').next().unwrap_or_default().to_owned()
}

/// Leaves out the trials of copies that connect after their parent has, which zookeeper-client cannot do.
pub(crate) fn without_copies(harness: Harness) -> Harness {
    const REASON: &str =
        "zookeeper-client has one I/O thread for all sessions of a process, which a fork does not copy";
    match cfg!(feature = "tls") {
        true => harness
            .ignore("fork::a_copy_neither_uses_nor_releases_what_its_parent_holds", REASON)
            .ignore("fork::two_copies_that_connect_exclude_each_other", REASON),
        false => harness,
    }
}

/// How long an expected event may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// A session that is renewed until this is dropped.
pub(crate) struct Client {
    pub(crate) session: Arc<dyn Session>,
    renewing: AbortHandle,
}

impl Client {
    pub(crate) async fn open(context: &Context, ttl: Duration, limit: Duration) -> Result<Self, Failure> {
        let session: Arc<dyn Session> = context.driver()?.open(&options(context, ttl, limit)).await?.into();
        let renewed = session.clone();
        let renewing = tokio::spawn(async move {
            loop {
                // A failed renewal is followed by the next one.
                let _ = renewed.renew().await;
                sleep(Duration::from_millis(300)).await;
            }
        });
        Ok(Self { session, renewing: renewing.abort_handle() })
    }

    /// From now on the session sends nothing by itself.
    pub(crate) fn stop_renewing(&mut self) {
        self.renewing.abort();
    }

    /// Enters and must be admitted.
    pub(crate) async fn hold(&self, roster: &Roster) -> Result<Ticket> {
        match self.session.enter(roster, exclusive()).await? {
            Standing::Admitted(ticket) => Ok(ticket),
            other => panic!("the entry should be admitted, but it is {other:?}"),
        }
    }

    /// Enters, and waits in the background.
    pub(crate) async fn wait(&self, roster: &Roster) -> Result<JoinHandle<Result<()>>, Failure> {
        Ok(Waiter::enter(self, roster, exclusive()).await?.turn)
    }
}

/// An entry, and a task that waits for its admission.
pub(crate) struct Waiter {
    pub(crate) session: Arc<dyn Session>,
    pub(crate) ticket: Ticket,
    pub(crate) turn: JoinHandle<Result<()>>,
}

impl Waiter {
    pub(crate) async fn enter(client: &Client, roster: &Roster, entry: NewEntry<'_>) -> Result<Self, Failure> {
        let ticket = match client.session.enter(roster, entry).await? {
            Standing::Admitted(ticket) | Standing::Waiting { ticket, .. } => ticket,
            other => panic!("the entry should be in the queue, but it is {other:?}"),
        };
        let (session, waited) = (client.session.clone(), roster.clone());
        let turn = tokio::spawn(async move {
            loop {
                match session.await_turn(&waited, &ticket).await {
                    Err(error) if error.is_retryable() => sleep(Duration::from_millis(50)).await,
                    outcome => return outcome,
                }
            }
        });
        Ok(Self { session: client.session.clone(), ticket, turn })
    }

    /// A second attempt, after the first had no answer, may return false.
    pub(crate) async fn leave(&self, roster: &Roster) -> Result<(), Failure> {
        at_last("leave", || self.session.leave(roster, &self.ticket)).await?;
        Ok(())
    }

    /// Leaves the queue in one of three ways.
    pub(crate) async fn remove_by(&self, roster: &Roster, way: usize, other: &Arc<dyn Session>) -> Result<(), Failure> {
        match way % 9 {
            0 => drop(at_last("evict", || other.evict(roster, self.ticket.seq)).await?),
            3 => at_last("withdraw", || self.session.withdraw(roster, self.ticket.nonce)).await?,
            _ => self.leave(roster).await?,
        }
        Ok(())
    }

    /// Leaves the queue while it waits, in one of three ways.
    pub(crate) async fn remove_entry_by(
        self,
        roster: &Roster,
        way: usize,
        other: &Arc<dyn Session>,
    ) -> Result<(), Failure> {
        self.remove_by(roster, way, other).await?;
        let outcome = soon("the end of the wait", self.turn).await.expect("the task does not panic");
        assert_eq!(outcome.err().map(|error| error.kind()), Some(ErrorKind::NotHeld));
        Ok(())
    }

    pub(crate) async fn is_admitted(&mut self) -> Result<(), Failure> {
        Ok(soon("the turn", &mut self.turn).await.expect("the task does not panic")?)
    }

    pub(crate) async fn is_not_admitted(&self, why: &str) {
        sleep(Duration::from_millis(200)).await;
        assert!(!self.turn.is_finished(), "it was admitted {why}");
    }
}

pub(crate) fn options(context: &Context, ttl: Duration, timeout: Duration) -> SessionOptions {
    let member = Name::new("a").expect("it is short");
    SessionOptions::new(context.namespace(), member, ttl, timeout)
}

impl Drop for Client {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

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

pub(crate) fn lock(name: &str) -> Roster {
    Roster { kind: Kind::Lock, name: Name::new(name).expect("it is short") }
}

/// Waits for an expected event.
pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("this did not happen within {PATIENCE:?}: {what}"))
}

/// Repeats an attempt while the server is unavailable.
pub(crate) async fn at_last<T, F: Future<Output = Result<T>>>(what: &str, mut attempt: impl FnMut() -> F) -> Result<T> {
    let trying = async {
        loop {
            match attempt().await {
                Err(error) if error.is_retryable() => sleep(Duration::from_millis(50)).await,
                outcome => return outcome,
            }
        }
    };
    soon(what, trying).await
}

/// Sends one of ZooKeeper's four-letter commands.
pub(crate) async fn four_letters(address: &str, command: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(command.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// How many znodes a server has.
pub(crate) async fn znodes(address: &str) -> std::io::Result<u64> {
    counted(address, "zk_znode_count").await
}

/// How many requests a server has carried out, without commands such as this one.
pub(crate) async fn requests(address: &str) -> std::io::Result<u64> {
    Ok(counted(address, "zk_cnt_readlatency").await? + counted(address, "zk_cnt_updatelatency").await?)
}

/// One of the numbers that a server reports about itself.
pub(crate) async fn counted(address: &str, what: &str) -> std::io::Result<u64> {
    let answer = four_letters(address, "mntr").await?;
    let count = answer.lines().find_map(|line| line.strip_prefix(what));
    count.and_then(|count| count.trim().parse().ok()).ok_or_else(|| std::io::Error::other(answer.clone()))
}

/// Forwards connections to one server, and later to another.
pub(crate) struct Switch {
    pub(crate) address: String,
    upstream: Arc<Mutex<String>>,
    connections: Arc<Mutex<JoinSet<()>>>,
}

impl Switch {
    pub(crate) async fn start(upstream: &str) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let this = Self { address, upstream: Arc::new(Mutex::new(upstream.to_owned())), connections: Arc::default() };
        let (upstream, connections) = (this.upstream.clone(), this.connections.clone());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let upstream = upstream.lock().expect("no holder panics").clone();
                connections.lock().expect("no holder panics").spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(upstream).await {
                        let _ = copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        Ok(this)
    }

    /// Cuts all connections and forwards new ones to `upstream`.
    pub(crate) fn point_at(&self, upstream: &str) {
        *self.upstream.lock().expect("no holder panics") = upstream.to_owned();
        self.connections.lock().expect("no holder panics").abort_all();
    }
}
