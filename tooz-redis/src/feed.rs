//! What the server pushes: who is woken by it, and how the flow is kept up and checked.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tooz_core::Result;
use tooz_core::driver::{Loss, Nonce};

use crate::bells::{Bells, News};
use crate::client::Client;
use crate::error::session_lost;
use crate::script::{ECHO, STANDING};

/// How long a channel stays subscribed after it was last asked for.
const LINGER: Duration = Duration::from_secs(60);
/// Between attempts to restore the flow.
const PAUSE: Duration = Duration::from_millis(100);

/// What one session hears.
#[derive(Debug)]
pub(crate) struct Feed {
    client: Arc<Client>,
    session: String,
    channel: String,
    pub(crate) bells: Bells,
    /// The subscribed channels besides the session's own, and when they were last asked for.
    channels: tokio::sync::Mutex<HashMap<String, Instant>>,
    /// Our entries; `true` once the server has confirmed them.
    entries: Mutex<HashMap<Nonce, bool>>,
    losses: mpsc::UnboundedSender<Loss>,
    missed: Notify,
}

impl Feed {
    pub(crate) fn new(
        client: Arc<Client>,
        session: String,
        channel: String,
        losses: mpsc::UnboundedSender<Loss>,
    ) -> Self {
        Self {
            client,
            session,
            channel,
            bells: Bells::default(),
            channels: tokio::sync::Mutex::default(),
            entries: Mutex::default(),
            losses,
            missed: Notify::new(),
        }
    }

    /// Listens to a channel. Whatever is published after this returns is heard, or everybody is woken.
    pub(crate) async fn hear(&self, channel: &str) -> Result<watch::Receiver<News>> {
        let bell = self.bells.listen(channel);
        self.limited(async {
            let mut channels = self.channels.lock().await;
            if let Some(asked) = channels.get_mut(channel) {
                *asked = Instant::now();
                return Ok(());
            }
            self.confirm(channel, Vec::new()).await?;
            channels.insert(channel.to_owned(), Instant::now());
            Ok(())
        })
        .await?;
        Ok(bell)
    }

    /// Subscribes to the session's own channel.
    pub(crate) async fn start(&self) -> Result<()> {
        self.limited(self.confirm(&self.channel, Vec::new())).await
    }

    /// Notes an entry that is about to be made, so that news of its removal is never too early.
    pub(crate) fn expect(&self, nonce: Nonce) {
        self.entries().entry(nonce).or_insert(false);
    }

    /// Notes that the entry stands.
    pub(crate) fn settle(&self, nonce: Nonce) {
        if let Some(settled) = self.entries().get_mut(&nonce) {
            *settled = true;
        }
    }

    /// Notes that the entry is no longer our concern: its removal is no loss.
    pub(crate) fn forget(&self, nonce: Nonce) {
        self.entries().remove(&nonce);
    }

    /// Has whoever waits for the turn of an entry look at it, since we have removed it ourselves.
    pub(crate) fn look(&self, nonce: Nonce) {
        self.bells.ring(&nonce.to_string(), News::Look);
    }

    /// Reports the end of the session and wakes everybody.
    pub(crate) fn end(&self) {
        self.report(Loss::Session(session_lost()));
        self.bells.ring_all();
    }

    /// Passes on messages, for as long as the session lives.
    pub(crate) async fn deliver(self: Arc<Self>) {
        let mut messages = self.client.messages();
        loop {
            match messages.recv().await {
                Ok(message) => {
                    let news = message.value.as_str().unwrap_or_default().into_owned();
                    self.dispatch(&message.channel, &news);
                }
                Err(broadcast::error::RecvError::Lagged(_)) => self.missed.notify_one(),
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }

    /// Restores the flow after every reconnection, and checks it every `interval`, for as long as the session lives.
    pub(crate) async fn keep_up(self: Arc<Self>, interval: Duration) {
        let mut reconnections = self.client.reconnections();
        loop {
            tokio::select! {
                _ = reconnections.recv() => self.restore().await,
                () = self.missed.notified() => self.restore().await,
                flows = self.check(interval) => {
                    if !flows {
                        tracing::warn!(channel = self.channel, "no notifications arrive; connecting again");
                        self.client.renew_news();
                        // Leaves the connection time to be made before it is judged again.
                        sleep(self.client.timeout()).await;
                    }
                }
            }
        }
    }

    fn dispatch(&self, channel: &str, news: &str) {
        match news.split_once(' ') {
            Some(("turn", nonce)) => self.bells.ring(nonce, News::Turn),
            Some(("lost", nonce)) => {
                if let Some(nonce) = Nonce::parse(nonce) {
                    self.removed(nonce);
                }
            }
            _ => self.bells.ring(channel, News::Look),
        }
    }

    /// Somebody else removed an entry. Reported once, and only if it was ours until now.
    fn removed(&self, nonce: Nonce) {
        if self.entries().remove(&nonce).is_some() {
            self.report(Loss::Entry(nonce));
        }
        self.bells.ring(&nonce.to_string(), News::Lost);
    }

    /// Waits, tidies up, and says whether a message to ourselves arrives. A server that does not take it proves nothing.
    async fn check(&self, interval: Duration) -> bool {
        sleep(interval).await;
        self.client.revive();
        self.tidy().await;
        let mut bell = self.bells.listen(&self.channel);
        match self.client.run(&ECHO, &self.channel, &[]).await {
            Ok(_) => timeout(self.client.timeout(), bell.changed()).await.is_ok(),
            Err(_) => true,
        }
    }

    /// Subscribes again, finds out what was missed, and has everybody look for themselves.
    async fn restore(&self) {
        while let Err(error) = self.try_restore().await {
            tracing::debug!(%error, "failed to restore the subscriptions; trying again");
            self.client.revive();
            sleep(PAUSE).await;
        }
        self.bells.ring_all();
    }

    async fn try_restore(&self) -> Result<()> {
        let others = self.channels.lock().await.keys().cloned().collect();
        self.limited(self.confirm(&self.channel, others)).await?;
        let settled: Vec<_> = self.entries().iter().filter(|(_, settled)| **settled).map(|(nonce, _)| *nonce).collect();
        let mut reply = self.client.run(&STANDING, &self.channel, &[self.session.as_bytes()]).await?;
        if reply.status() == "LOST" {
            self.end();
            return Ok(());
        }
        let mut standing = HashSet::new();
        while let Some(nonce) = reply.bytes() {
            standing.extend(std::str::from_utf8(&nonce).ok().and_then(Nonce::parse));
        }
        settled.into_iter().filter(|nonce| !standing.contains(nonce)).for_each(|nonce| self.removed(nonce));
        Ok(())
    }

    /// Subscribes until a message to ourselves arrives on `channel`: then `others`, which were sent first, are in force
    /// too. fred does not wait for the server's word, and in a cluster another node may answer faster.
    async fn confirm(&self, channel: &str, others: Vec<String>) -> Result<()> {
        let mut bell = self.bells.listen(channel);
        loop {
            let mut channels = others.clone();
            channels.push(channel.to_owned());
            self.client.subscribe(channels).await?;
            self.client.run(&ECHO, channel, &[]).await?;
            if timeout(PAUSE, bell.changed()).await.is_ok() {
                return Ok(());
            }
        }
    }

    /// Ends subscriptions that nobody has asked for lately.
    async fn tidy(&self) {
        self.bells.tidy();
        let mut channels = self.channels.lock().await;
        let idle: Vec<String> = channels
            .iter()
            .filter(|(channel, asked)| asked.elapsed() > LINGER && !self.bells.is_heard(channel))
            .map(|(channel, _)| channel.clone())
            .collect();
        if !idle.is_empty() && self.client.unsubscribe(idle.clone()).await.is_ok() {
            channels.retain(|channel, _| !idle.contains(channel));
        }
    }

    async fn limited<T>(&self, request: impl Future<Output = Result<T>>) -> Result<T> {
        let limit = self.client.timeout();
        timeout(limit, request).await.unwrap_or_else(|_| Err(self.client.silence(limit)))
    }

    fn report(&self, loss: Loss) {
        // A receiver that is gone means a session that nobody uses any more.
        let _ = self.losses.send(loss);
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Nonce, bool>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
