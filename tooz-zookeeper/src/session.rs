//! A session: its verbs, its end, and what runs in the background for it.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::sync::{Mutex, mpsc};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until};
use tooz_core::driver::{
    Kind, Loss, NewEntry, Nonce, Roster, Seq, Session, SessionOptions, Snapshot, Standing, Ticket, Topics, Version,
};
use tooz_core::{Name, Result};

use crate::client::{Client, Fault, Last, Make};
use crate::error::session_lost;
use crate::layout::{EntryName, Layout, ancestry};
use crate::mine::Mine;
use crate::sweep::{self, Parents};
use crate::topics::Retention;
use crate::watch::Views;
use crate::withdraw::Withdrawals;

/// What the verbs and the background tasks of a session share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) client: Arc<Client>,
    pub(crate) layout: Layout,
    /// ZooKeeper's id of the session.
    pub(crate) id: i64,
    pub(crate) mine: Mine,
    pub(crate) withdrawals: Withdrawals,
    pub(crate) parents: Parents,
    pub(crate) views: Views,
    pub(crate) retention: Retention,
    pub(crate) losses: mpsc::UnboundedSender<Loss>,
    ttl: Duration,
    renewed: RwLock<Renewed>,
}

/// A follower tells the leader of its clients every half tick, which is this part of a session of three ticks.
const A_PING: u32 = 6;

/// What is known of the session's end.
#[derive(Clone, Copy, Debug)]
struct Renewed {
    /// When the last renewal that the leader must know of was sent.
    known: Instant,
    /// When a later one was sent and answered, of which it may not know yet.
    pending: (Instant, Instant),
    /// When the session ends unless it is renewed.
    deadline: Instant,
}

/// The session as core sees it.
#[derive(Debug)]
pub(crate) struct ZooKeeperSession {
    inner: Arc<Inner>,
    losses: Mutex<mpsc::UnboundedReceiver<Loss>>,
    background: [AbortHandle; 2],
}

impl ZooKeeperSession {
    /// Makes the session known in the namespace, and starts what runs in the background. `began` is when the session
    /// was asked for.
    pub(crate) async fn start(
        client: Arc<Client>,
        began: Instant,
        chroot: &str,
        options: &SessionOptions,
    ) -> Result<Self> {
        let sent = Instant::now();
        let layout = Layout::new(chroot, &options.namespace);
        let id = start_heartbeat(&client, &layout, options.member.as_bytes()).await?;
        let negotiated = client.negotiated();
        let ttl = safe_ttl(negotiated);
        let (sender, losses) = mpsc::unbounded_channel();
        let inner = Arc::new(Inner {
            client,
            layout,
            id,
            mine: Mine::default(),
            withdrawals: Withdrawals::default(),
            parents: Parents::default(),
            views: Views::default(),
            retention: Retention::default(),
            losses: sender,
            ttl,
            // The leader itself opens sessions, but may not know of our first request yet.
            renewed: RwLock::new(Renewed {
                known: began,
                pending: (sent, Instant::now()),
                deadline: (sent + ttl).min(began + negotiated),
            }),
        });
        let background = [
            tokio::spawn(end_in_time(Arc::downgrade(&inner))).abort_handle(),
            tokio::spawn(sweep::run(Arc::downgrade(&inner))).abort_handle(),
        ];
        Ok(Self { inner, losses: Mutex::new(losses), background })
    }
}

/// The TTL that core may count on.
///
/// A follower tells the leader, which alone expires sessions, of its clients every half tick. If it is cut off right
/// after it forwarded our write, the leader counts from the renewal before. Core renews every third of the TTL, so with
/// three quarters of what was granted, one such renewal may be lost: 3/4 + 1/3 of 3/4 is 1. See [`Inner::renew`] for
/// renewals that are further apart.
fn safe_ttl(negotiated: Duration) -> Duration {
    negotiated * 3 / 4
}

async fn start_heartbeat(client: &Client, layout: &Layout, member: &[u8]) -> Result<i64> {
    let path = layout.heartbeat(Nonce::random());
    match client.start_heartbeat(path.clone(), member.to_vec()).await {
        Err(Fault::NoNode) => {
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            create_all(client, parent).await?;
            Ok(client.start_heartbeat(path, member.to_vec()).await?)
        }
        outcome => Ok(outcome?),
    }
}

/// Creates a znode and all above it, where they are missing.
pub(crate) async fn create_all(client: &Client, path: &str) -> Result<(), Fault> {
    for path in ancestry(path) {
        match client.create(path, b"", Make::Persistent).await {
            // A missing znode above it was just removed by a sweep; the caller's next attempt creates it again.
            Ok(_) | Err(Fault::NodeExists | Fault::NoNode) => {}
            // Above the namespace we may be allowed to look but not to create.
            Err(Fault::Denied) if client.exists(path).await?.is_some() => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(())
}

/// Ends the session when its TTL has passed without a renewal, whatever the library believes and keeps alive.
async fn end_in_time(inner: std::sync::Weak<Inner>) {
    loop {
        let Some(deadline) = inner.upgrade().map(|inner| inner.deadline()) else { return };
        tokio::select! {
            () = sleep_until(deadline) => {}
            () = over(&inner) => {}
        }
        let Some(inner) = inner.upgrade() else { return };
        if inner.client.check().is_ok() && inner.deadline() > Instant::now() {
            continue;
        }
        inner.client.end("it was not renewed in time");
        // Entries that the library has put into another session, or that the server keeps, go at once if they can.
        let _ = inner.client.shut_down(async |last| inner.remove_all(&last).await).await;
        return;
    }
}

/// Waits for the session's end without keeping it alive.
async fn over(inner: &std::sync::Weak<Inner>) {
    let client = inner.upgrade().map(|inner| inner.client.clone());
    if let Some(client) = client {
        client.over().await;
    }
}

impl Inner {
    fn deadline(&self) -> Instant {
        self.renewed.read().unwrap_or_else(PoisonError::into_inner).deadline
    }

    /// Renews once. False if the leader may count from a renewal so long ago that this one promises less than a TTL.
    async fn renew(&self) -> Result<bool> {
        let sent = Instant::now();
        self.client.touch().await?;
        let negotiated = self.client.negotiated();
        let mut renewed = self.renewed.write().unwrap_or_else(PoisonError::into_inner);
        let (pending, answered) = renewed.pending;
        // One that was on its way for long is answered together with the next: two answers alone prove nothing.
        if answered + negotiated / A_PING <= sent {
            renewed.known = renewed.known.max(pending);
            renewed.pending = (sent, Instant::now());
        }
        let promised = (sent + self.ttl).min(renewed.known + negotiated);
        renewed.deadline = renewed.deadline.max(promised);
        Ok(promised + negotiated / 40 >= sent + self.ttl)
    }

    /// Removes our entries and the parents that are empty then, as far as time allows.
    async fn remove_all(&self, last: &Last) {
        let (placed, unsure) = self.mine.drain();
        let paths = placed.into_iter().map(|placed| placed.path);
        // Waves, since the library has a limit on what may be in flight.
        let paths: Vec<_> = paths.collect();
        for wave in paths.chunks(32) {
            join_all(wave.iter().map(|path| last.delete(path, None))).await;
        }
        for (parent, nonce) in unsure {
            let children = last.children(&parent).await.unwrap_or_default();
            for name in children.iter().filter(|name| EntryName::parse(name).is_some_and(|entry| entry.nonce == nonce))
            {
                let _ = last.delete(&format!("{parent}/{name}"), None).await;
            }
        }
        let parents: Vec<_> = self.parents.drain();
        for wave in parents.chunks(32) {
            join_all(wave.iter().map(|path| last.delete(path, Some(sweep::UNDECLARED)))).await;
        }
    }
}

#[async_trait]
impl Session for ZooKeeperSession {
    fn ttl(&self) -> Option<Duration> {
        Some(self.inner.ttl)
    }

    async fn renew(&self) -> Result<()> {
        if !self.inner.renew().await? {
            // Renewals have failed before. A second one, half a tick later, proves that the leader knows of the first.
            sleep(self.inner.client.negotiated() / A_PING).await;
            self.inner.renew().await?;
        }
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        let lost_before = self.inner.client.check().is_err();
        self.inner.client.end("it was closed");
        let inner = &self.inner;
        let outcome = inner.client.shut_down(async |last| inner.remove_all(&last).await).await;
        match outcome {
            Err(Fault::Away(reason)) if !lost_before => Err(Fault::Away(reason).into()),
            _ => Ok(()),
        }
    }

    async fn lost(&self) -> Loss {
        let mut losses = self.losses.lock().await;
        tokio::select! {
            biased;
            Some(loss) = losses.recv() => loss,
            reason = self.inner.client.over() => Loss::Session(session_lost(&reason)),
        }
    }

    async fn enter(&self, roster: &Roster, entry: NewEntry<'_>) -> Result<Standing> {
        self.inner.enter(roster, entry).await
    }

    async fn leave(&self, roster: &Roster, ticket: &Ticket) -> Result<bool> {
        self.inner.leave(roster, ticket).await
    }

    async fn withdraw(&self, roster: &Roster, nonce: Nonce) -> Result<()> {
        self.inner.withdraw(roster, nonce).await
    }

    async fn replace(&self, roster: &Roster, ticket: &Ticket, value: &[u8]) -> Result<()> {
        self.inner.replace(roster, ticket, value).await
    }

    async fn evict(&self, roster: &Roster, seq: Seq) -> Result<bool> {
        self.inner.evict(roster, seq).await
    }

    async fn snapshot(&self, roster: &Roster, newer_than: Option<Version>) -> Result<Snapshot> {
        self.inner.snapshot(roster, newer_than).await
    }

    async fn await_turn(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        self.inner.await_turn(roster, ticket).await
    }

    async fn declare(&self, roster: &Roster) -> Result<bool> {
        self.inner.declare(roster).await
    }

    async fn retract(&self, roster: &Roster) -> Result<()> {
        self.inner.retract(roster).await
    }

    async fn declared(&self, kind: Kind) -> Result<Vec<Name>> {
        self.inner.declared(kind).await
    }

    fn topics(&self) -> Option<&dyn Topics> {
        Some(&*self.inner)
    }
}

impl Drop for ZooKeeperSession {
    fn drop(&mut self) {
        self.background.iter().for_each(AbortHandle::abort);
        self.inner.client.end("it was dropped");
        drop(self.inner.mine.drain());
    }
}
