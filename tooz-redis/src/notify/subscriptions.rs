//! The subscriptions of a session: it receives notifications, wakes waiters, and makes sure that notifications arrive.
//!
//! - fred does not wait for the server's reply to SUBSCRIBE, so the driver subscribes to one channel more, which is used
//!   once, and publishes to that until it receives a message. No other client hears of it.
//! - The session publishes to its own channel now and then. If the message does not arrive, it connects again.
//! - After a reconnection the session subscribes again, compares its entries with those on the server, and has every waiter
//!   look at the server.
//! - The same request asks for the versions of the followed rosters, so that a lost notification is noticed.
//! - It also removes what sessions have left that are over. While the session has waiters, it is sent as soon as
//!   a session may be over, so that a waiter needs no timer for the life of the session that blocks it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tooz_core::driver::support::{lock, session_closed, session_lost};
use tooz_core::driver::{Loss, Nonce, OwnEntries, Wakeup, Wakeups};
use tooz_core::{Error, Result};

use super::followers::{Followers, Notice};
use crate::client::{Connections, ECHO, ENTRIES, WITHDRAW};
use crate::error::history_changed;
use crate::history::History;
use crate::layout::TOMBSTONE_TTL;

/// How long a channel stays subscribed after the last waiter asked for it.
const LINGER: Duration = Duration::from_secs(60);
/// At most between attempts to subscribe, and at least between two checks.
const PAUSE: Duration = Duration::from_millis(100);
/// Between the first two attempts to subscribe. A message often overtakes the subscription, which is on another connection.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// The clocks of server and client differ in speed, and the server's counts milliseconds.
const MARGIN: Duration = Duration::from_millis(20);

/// The subscriptions of one session.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    connections: Arc<Connections>,
    history: Arc<History>,
    /// The number of the history that the session belongs to.
    history_number: AtomicU64,
    /// The session's key and channel.
    session: String,
    /// The longest time between two messages to the own channel.
    interval: Duration,
    wakeups: Wakeups,
    followers: Followers,
    /// How many channels were used once.
    confirmations: AtomicU64,
    /// The subscribed channels besides the session's own, and when a waiter last asked for them.
    channels: tokio::sync::Mutex<HashMap<String, Instant>>,
    pub(crate) entries: OwnEntries,
    losses: mpsc::UnboundedSender<Loss>,
    /// Notifications were missed.
    missed: Notify,
    /// When the session next sends a message to its own channel, and that this has become earlier.
    next_check: Mutex<Instant>,
    earlier: Notify,
}

impl Subscriptions {
    pub(crate) fn new(
        connections: Arc<Connections>,
        history: Arc<History>,
        session: String,
        interval: Duration,
        losses: mpsc::UnboundedSender<Loss>,
    ) -> Self {
        Self {
            connections,
            history,
            history_number: AtomicU64::new(0),
            session,
            interval,
            wakeups: Wakeups::default(),
            followers: Followers::default(),
            confirmations: AtomicU64::new(0),
            channels: tokio::sync::Mutex::default(),
            entries: OwnEntries::default(),
            losses,
            missed: Notify::new(),
            next_check: Mutex::new(Instant::now() + interval),
            earlier: Notify::new(),
        }
    }

    /// Subscribes to the own channel of a session that belongs to this history.
    pub(crate) async fn start(&self, history_number: u64) -> Result<()> {
        self.history_number.store(history_number, Ordering::SeqCst);
        self.limited(self.confirm(vec![self.session.clone()])).await
    }

    /// Subscribes to a channel. The receiver is woken by whatever is published after this returns.
    pub(crate) async fn subscribe(&self, channel: &str) -> Result<watch::Receiver<Wakeup>> {
        let receiver = self.wakeups.subscribe(channel);
        self.limited(async {
            let mut channels = self.channels.lock().await;
            if let Some(asked) = channels.get_mut(channel) {
                *asked = Instant::now();
                return Ok(());
            }
            self.confirm(vec![channel.to_owned()]).await?;
            channels.insert(channel.to_owned(), Instant::now());
            Ok(())
        })
        .await?;
        Ok(receiver)
    }

    /// Subscribes to a roster. The receiver has whatever is published after this returns.
    pub(crate) async fn follow(&self, roster: &str) -> Result<mpsc::Receiver<Notice>> {
        let notices = self.followers.add(roster);
        self.subscribe(roster).await?;
        Ok(notices)
    }

    /// Waits for the admission or removal of an entry of this session.
    pub(crate) fn subscribe_entry(&self, nonce: Nonce) -> watch::Receiver<Wakeup> {
        self.wakeups.subscribe(&nonce.to_string())
    }

    /// Records that a waiter depends on a session that may be over in so many milliseconds. A negative number means none.
    pub(crate) fn expect_expiry(&self, milliseconds: i64) {
        let Ok(milliseconds) = u64::try_from(milliseconds) else { return };
        let expiry = Instant::now() + Duration::from_millis(milliseconds).max(PAUSE).min(self.interval) + MARGIN;
        let mut next = lock(&self.next_check);
        if expiry < *next {
            *next = expiry;
            self.earlier.notify_one();
        }
    }

    /// Records that an entry is not there any more, and has its waiter look at the server.
    pub(crate) fn left(&self, nonce: Nonce) {
        self.entries.removed(nonce);
        self.wakeups.wake(&nonce.to_string(), Wakeup::Changed);
    }

    /// Reports that the client has closed the session, and wakes all waiters.
    pub(crate) fn close(&self) {
        self.end(session_closed());
    }

    /// Receives notifications, for as long as the session lives.
    pub(crate) async fn receive(self: Arc<Self>) {
        let mut messages = self.connections.messages();
        loop {
            match messages.recv().await {
                Ok(message) => {
                    let event = message.value.as_str().unwrap_or_default().into_owned();
                    self.dispatch(&message.channel, &event);
                    let content = message.value.into_bytes().unwrap_or_default();
                    self.followers.notify(&message.channel, || Notice::Message(content.clone()));
                }
                Err(broadcast::error::RecvError::Lagged(_)) => self.missed.notify_one(),
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }

    fn dispatch(&self, channel: &str, event: &str) {
        match event.split_once(' ') {
            Some(("admitted", nonce)) => self.wakeups.wake(nonce, Wakeup::Admitted),
            Some(("removed", nonce)) => {
                if let Some(nonce) = Nonce::parse(nonce) {
                    self.removed(nonce);
                }
            }
            _ => self.wakeups.wake(channel, Wakeup::Changed),
        }
    }

    /// Records that another client has removed an entry.
    fn removed(&self, nonce: Nonce) {
        if self.entries.removed(nonce) {
            self.report(Loss::Entry(nonce));
        }
        self.wakeups.wake(&nonce.to_string(), Wakeup::Removed);
    }

    /// Restores the subscriptions after every reconnection, and checks that notifications arrive, while the session lives.
    pub(crate) async fn maintain(self: Arc<Self>) {
        let mut reconnections = self.connections.reconnections();
        loop {
            tokio::select! {
                _ = reconnections.recv() => self.restore().await,
                () = self.missed.notified() => self.restore().await,
                arrive = self.check() => if !arrive {
                    tracing::warn!(channel = self.session, "no notifications arrive; connecting again");
                    self.connections.reconnect_notifications();
                    // The connection must have time to be made before it is checked again.
                    sleep(self.connections.timeout()).await;
                },
            }
        }
    }

    /// Waits until the next check is due, publishes to the own channel, and says whether the message arrives. If the server
    /// does not take the message, that proves nothing.
    async fn check(&self) -> bool {
        loop {
            let next = *lock(&self.next_check);
            tokio::select! {
                () = sleep_until(next) => break,
                () = self.earlier.notified() => {}
            }
        }
        *lock(&self.next_check) = Instant::now() + self.interval;
        self.connections.restart();
        let has_waiters = self.remove_unused().await;
        let mut receiver = self.wakeups.subscribe(&self.session);
        let rosters = self.followers.rosters();
        let args: Vec<_> = rosters.iter().map(String::as_bytes).collect();
        let Ok(mut reply) = self.connections.run(&ECHO, &self.session, &args).await else { return true };
        let milliseconds = reply.number().unwrap_or(-1);
        if has_waiters {
            self.expect_expiry(milliseconds);
        }
        let arrives = timeout(self.connections.timeout(), receiver.changed()).await.is_ok();
        // The message came after all changes up to these versions.
        for roster in rosters.iter().filter(|_| arrives) {
            let version = reply.natural().unwrap_or_default();
            self.followers.notify(roster, || Notice::Version(version));
        }
        arrives
    }

    /// Subscribes again, finds out what was missed, and wakes all waiters.
    async fn restore(&self) {
        while let Err(error) = self.try_restore().await {
            if error.is_session_lost() {
                return self.end(error);
            }
            tracing::debug!(%error, "failed to restore the subscriptions; trying again");
            self.connections.restart();
            sleep(PAUSE).await;
        }
        self.wakeups.wake_all();
        self.followers.interrupt();
    }

    async fn try_restore(&self) -> Result<()> {
        let mut channels: Vec<_> = self.channels.lock().await.keys().cloned().collect();
        channels.push(self.session.clone());
        self.limited(self.confirm(channels)).await?;
        let (confirmed, greatest) = (self.entries.confirmed(), self.history.greatest());
        let mut found = HashSet::new();
        for (nonce, roster) in self.read_entries(greatest).await? {
            // The client has seen this entry leave, but the server has lost that.
            if !self.entries.contains(nonce) {
                let (nonce, ttl) = (nonce.to_string(), TOMBSTONE_TTL.as_millis().to_string());
                let args = [self.session.as_bytes(), nonce.as_bytes(), ttl.as_bytes()];
                self.connections.run(&WITHDRAW, &roster, &args).await?;
            }
            found.insert(nonce);
        }
        confirmed.difference(&found).for_each(|nonce| self.removed(*nonce));
        Ok(())
    }

    /// The entries of the session on the server, with the keys of their rosters.
    async fn read_entries(&self, greatest: u64) -> Result<Vec<(Nonce, String)>> {
        let (mut entries, mut cursor) = (Vec::new(), b"0".to_vec());
        loop {
            let mut reply = self.connections.run(&ENTRIES, &self.session, &[&cursor]).await?;
            if reply.status() == "LOST" {
                return Err(session_lost());
            }
            let last = reply.natural()?;
            if last < greatest {
                self.history.is_another(last);
            }
            // Another session of the driver may have noticed it first.
            if self.history.number() != self.history_number.load(Ordering::SeqCst) {
                return Err(history_changed());
            }
            cursor = reply.bytes().unwrap_or_default();
            while let (Some(nonce), Some(roster)) = (reply.bytes(), reply.bytes()) {
                let nonce = std::str::from_utf8(&nonce).ok().and_then(Nonce::parse);
                entries.extend(nonce.map(|nonce| (nonce, String::from_utf8_lossy(&roster).into_owned())));
            }
            if cursor == b"0" {
                return Ok(entries);
            }
        }
    }

    /// Subscribes to channels, and to one more until a message to that arrives: then the others, which were sent first, are
    /// subscribed too. The message may be sent several times, since a node of a cluster may overtake another.
    async fn confirm(&self, mut channels: Vec<String>) -> Result<()> {
        let confirmation = format!("{}:{}", self.session, self.confirmations.fetch_add(1, Ordering::Relaxed));
        let mut receiver = self.wakeups.subscribe(&confirmation);
        channels.push(confirmation.clone());
        let mut pause = FIRST_PAUSE;
        loop {
            self.connections.subscribe(channels.clone()).await?;
            self.connections.run(&ECHO, &confirmation, &[]).await?;
            if timeout(pause, receiver.changed()).await.is_ok() {
                return self.connections.unsubscribe(vec![confirmation]).await;
            }
            pause = (pause * 2).min(PAUSE);
        }
    }

    /// Ends subscriptions without waiters that none has asked for lately. Returns whether there are waiters.
    async fn remove_unused(&self) -> bool {
        let has_waiters = self.wakeups.remove_unused();
        let mut channels = self.channels.lock().await;
        let followed = self.followers.rosters();
        let is_used = |channel: &String| self.wakeups.has_waiters(channel) || followed.contains(channel);
        let is_idle = |channel: &String, asked: &Instant| asked.elapsed() > LINGER && !is_used(channel);
        let idle = channels.iter().filter(|(channel, asked)| is_idle(channel, asked));
        let idle: Vec<String> = idle.map(|(channel, _)| channel.clone()).collect();
        if !idle.is_empty() && self.connections.unsubscribe(idle.clone()).await.is_ok() {
            channels.retain(|channel, _| !idle.contains(channel));
        }
        has_waiters
    }

    async fn limited<T>(&self, request: impl Future<Output = Result<T>>) -> Result<T> {
        let limit = self.connections.timeout();
        timeout(limit, request).await.unwrap_or_else(|_| Err(self.connections.timeout_error(limit)))
    }

    fn end(&self, reason: Error) {
        self.report(Loss::Session(reason));
        self.wakeups.wake_all();
        self.followers.interrupt();
    }

    fn report(&self, loss: Loss) {
        // Without a receiver the session is no longer used.
        let _ = self.losses.send(loss);
    }
}
