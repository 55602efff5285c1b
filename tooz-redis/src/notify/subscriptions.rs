//! The subscriptions of a client: it receives notifications, wakes waiters, and makes sure that notifications arrive.
//!
//! - fred does not wait for the server's reply to SUBSCRIBE, so the driver subscribes to one channel more, which is used
//!   once, and publishes to that until it receives a message. No other client hears of it.
//! - The client publishes to its own channel of each shard that it uses now and then. If the message does not arrive, it connects again.
//! - After a reconnection the client subscribes again and has every waiter look at the server. Each session compares its
//!   entries with those on the server.
//! - The same request asks for the versions of the followed rosters, so that a lost notification is noticed.
//! - It also removes what sessions have left that are over. While there are waiters, it is sent as soon as a session may be
//!   over, so that a waiter needs no timer for the life of the session that blocks it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fred::bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tooz_core::Result;
use tooz_core::driver::support::lock;
use tooz_core::driver::{Nonce, Wakeup, Wakeups};

use super::followers::{Followers, Notice};
use crate::client::{Connections, ECHO};
use crate::layout::Layout;
use crate::shard_session::ShardSession;

/// How long a channel stays subscribed after the last waiter asked for it.
const LINGER: Duration = Duration::from_secs(60);
/// At most between attempts to subscribe, and at least between two checks.
const PAUSE: Duration = Duration::from_millis(100);
/// Between the first two attempts to subscribe. A message often overtakes the subscription, which is on another connection.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// The clocks of server and client differ in speed, and the server's counts milliseconds.
const MARGIN: Duration = Duration::from_millis(20);

/// The subscriptions of one client, for all of its sessions.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    connections: Arc<Connections>,
    layout: Layout,
    /// The client's own channels, one for each shard, to which the server sends what concerns the entries of its sessions.
    own_channels: Vec<String>,
    /// The longest time between two messages to an own channel.
    interval: Duration,
    /// By channel, and by the nonces of entries.
    wakeups: Wakeups,
    followers: Followers,
    /// By their ids.
    sessions: Mutex<HashMap<String, Arc<ShardSession>>>,
    /// How many channels were used once.
    confirmations: AtomicU64,
    /// The subscribed channels besides the own ones, and when a waiter last asked for them.
    channels: tokio::sync::Mutex<HashMap<String, Instant>>,
    /// The channels that waiters wish to be subscribed, so that one confirmation serves all of them.
    wanted: Mutex<HashSet<String>>,
    /// Notifications were missed.
    missed: Notify,
    /// When the client next sends messages to its own channels, and that this has become earlier.
    next_check: Mutex<Instant>,
    earlier: Notify,
}

impl Subscriptions {
    pub(crate) fn new(connections: Arc<Connections>, layout: Layout, client: &str, interval: Duration) -> Self {
        Self {
            connections,
            own_channels: layout.shards().map(|shard| layout.client(shard, client)).collect(),
            layout,
            interval,
            wakeups: Wakeups::default(),
            followers: Followers::default(),
            sessions: Mutex::default(),
            confirmations: AtomicU64::new(0),
            channels: tokio::sync::Mutex::default(),
            wanted: Mutex::default(),
            missed: Notify::new(),
            next_check: Mutex::new(Instant::now() + interval),
            earlier: Notify::new(),
        }
    }

    /// Subscribes to the own channels.
    pub(crate) async fn start(&self) -> Result<()> {
        self.limited(self.confirm(self.own_channels.clone())).await
    }

    /// Subscribes to a channel. The receiver is woken by whatever is published after this returns.
    pub(crate) async fn subscribe(&self, channel: &str) -> Result<watch::Receiver<Wakeup>> {
        let receiver = self.wakeups.subscribe(channel);
        lock(&self.wanted).insert(channel.to_owned());
        self.limited(async {
            let mut channels = self.channels.lock().await;
            if let Some(asked) = channels.get_mut(channel) {
                *asked = Instant::now();
                return Ok(());
            }
            let mut wanted = std::mem::take(&mut *lock(&self.wanted));
            wanted.retain(|wanted| !channels.contains_key(wanted));
            // A call that failed may have taken it before.
            wanted.insert(channel.to_owned());
            self.confirm(wanted.iter().cloned().collect()).await?;
            channels.extend(wanted.into_iter().map(|channel| (channel, Instant::now())));
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

    /// Passes on what concerns the entries of a session, from now on.
    pub(crate) fn add(&self, session: Arc<ShardSession>) {
        lock(&self.sessions).insert(session.id.clone(), session);
    }

    /// Forgets a session that has ended.
    pub(crate) fn remove(&self, session: &ShardSession) {
        lock(&self.sessions).remove(&session.id);
    }

    /// Has the waiter for an entry look at the server.
    pub(crate) fn wake_waiter(&self, nonce: Nonce) {
        self.wakeups.wake(&nonce.to_string(), Wakeup::Changed);
    }

    /// Receives notifications, while the client has sessions.
    pub(crate) async fn receive(self: Arc<Self>) {
        let mut messages = self.connections.messages();
        loop {
            match messages.recv().await {
                Ok(message) => self.dispatch(&message.channel, message.value.into_bytes().unwrap_or_default()),
                Err(broadcast::error::RecvError::Lagged(_)) => self.missed.notify_one(),
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }

    fn dispatch(&self, channel: &str, content: Bytes) {
        let mut words = content.split(|byte| *byte == b' ').map(|word| std::str::from_utf8(word).unwrap_or_default());
        match (words.next(), words.next(), words.next()) {
            (Some("admitted"), Some(nonce), _) if self.is_own(channel) => {
                self.wakeups.wake(nonce, Wakeup::Admitted);
            }
            (Some("removed"), Some(nonce), Some(session)) if self.is_own(channel) => {
                let session = lock(&self.sessions).get(session).cloned();
                if let (Some(session), Some(nonce)) = (session, Nonce::parse(nonce)) {
                    session.lost_entry(nonce);
                }
                self.wakeups.wake(nonce, Wakeup::Removed);
            }
            _ => {
                self.wakeups.wake(channel, Wakeup::Changed);
                self.followers.notify(channel, || Notice::Message(content.clone()));
            }
        }
    }

    fn is_own(&self, channel: &str) -> bool {
        self.own_channels.iter().any(|own| own == channel)
    }

    /// Restores the subscriptions after every reconnection, and checks that notifications arrive, while the client has sessions.
    pub(crate) async fn maintain(self: Arc<Self>) {
        let mut reconnections = self.connections.reconnections();
        loop {
            tokio::select! {
                _ = reconnections.recv() => self.restore().await,
                () = self.missed.notified() => self.restore().await,
                arrive = self.check() => if !arrive {
                    tracing::warn!(channels = ?self.own_channels, "no notifications arrive; connecting again");
                    self.connections.reconnect_notifications();
                    // The connection must have time to be made before it is checked again.
                    sleep(self.connections.timeout()).await;
                },
            }
        }
    }

    /// Waits until the next check is due, and makes it in every shard that the sessions use. Says whether notifications arrive.
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
        let shards: HashSet<_> = lock(&self.sessions).values().map(|session| session.shard).collect();
        join_all(shards.into_iter().map(|shard| self.check_shard(shard, has_waiters)))
            .await
            .into_iter()
            .all(|arrive| arrive)
    }

    /// Publishes to the own channel of a shard, and says whether the message arrives. If the server does not take the message,
    /// that proves nothing.
    async fn check_shard(&self, shard: usize, has_waiters: bool) -> bool {
        let own_channel = &self.own_channels[shard];
        let mut receiver = self.wakeups.subscribe(own_channel);
        let mut rosters = self.followers.rosters();
        rosters.retain(|roster| self.layout.is_in(shard, roster));
        let args: Vec<_> = rosters.iter().map(String::as_bytes).collect();
        let Ok(mut reply) = self.connections.run(&ECHO, own_channel, &args).await else { return true };
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

    /// Subscribes again, and has all waiters look at the server and all sessions compare their entries.
    async fn restore(&self) {
        let mut channels: Vec<_> = self.channels.lock().await.keys().cloned().collect();
        channels.extend(self.own_channels.iter().cloned());
        while let Err(error) = self.limited(self.confirm(channels.clone())).await {
            tracing::debug!(%error, "failed to restore the subscriptions; trying again");
            self.connections.restart();
            sleep(PAUSE).await;
        }
        self.wakeups.wake_all();
        self.followers.interrupt();
        for session in lock(&self.sessions).values() {
            tokio::spawn(compare_entries(session.clone(), self.connections.clone()));
        }
    }

    /// Subscribes to channels, and to one more until a message to that arrives: then the others, which were sent first, are
    /// subscribed too. The message may be sent several times, since a node of a cluster may overtake another.
    async fn confirm(&self, mut channels: Vec<String>) -> Result<()> {
        let confirmation = format!("{}:{}", self.own_channels[0], self.confirmations.fetch_add(1, Ordering::Relaxed));
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
}

/// Has a session compare its entries with those on the server, again and again until it succeeds or the session ends.
async fn compare_entries(session: Arc<ShardSession>, connections: Arc<Connections>) {
    while let Err(error) = session.end.until_end(session.compare_entries(&connections)).await {
        if error.is_session_lost() {
            return session.end.end(error);
        }
        tracing::debug!(%error, "failed to compare the entries of a session; trying again");
        sleep(PAUSE).await;
    }
}
