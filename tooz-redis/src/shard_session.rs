//! What the driver knows of one session besides its connections: its part in each shard, with its entries and the history of
//! the shard, and how it ended.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tooz_core::driver::support::session_lost;
use tooz_core::driver::{Loss, Nonce, OwnEntries};
use tooz_core::{Error, Name, Result};

use crate::client::{Connections, ENTRIES, OPEN, WITHDRAW};
use crate::error::{history_changed, other_shards};
use crate::history::{History, Opened, Opening};
use crate::layout::TOMBSTONE_TTL;

/// How a session ended, and the losses that it reports: the same in all its shards.
#[derive(Debug)]
pub(crate) struct SessionEnd {
    losses: mpsc::UnboundedSender<Loss>,
    /// Why the session has ended, if it has.
    reason: watch::Sender<Option<Error>>,
}

impl SessionEnd {
    /// The end of a session that reports losses to `losses`.
    pub(crate) fn new(losses: mpsc::UnboundedSender<Loss>) -> Self {
        Self { losses, reason: watch::Sender::new(None) }
    }

    /// Ends the session for its client, unless it has ended before.
    pub(crate) fn end(&self, reason: Error) {
        let is_first = self.reason.send_if_modified(|end| end.is_none() && end.replace(reason.clone()).is_none());
        if is_first {
            self.report(Loss::Session(reason));
        }
    }

    /// # Errors
    /// Why the session has ended, if it has.
    pub(crate) fn check(&self) -> Result<()> {
        self.reason.borrow().clone().map_or(Ok(()), Err)
    }

    /// Completes `request`, or fails when the session ends.
    pub(crate) async fn until_end<T>(&self, request: impl Future<Output = Result<T>>) -> Result<T> {
        let mut end = self.reason.subscribe();
        tokio::select! {
            result = request => result,
            _ = end.wait_for(Option::is_some) => self.check().and_then(|()| Err(session_lost())),
        }
    }

    fn report(&self, loss: Loss) {
        // Without a receiver the session is no longer used.
        let _ = self.losses.send(loss);
    }
}

/// A session in one shard: a key on the server that lives as long as it is renewed.
#[derive(Debug)]
pub(crate) struct ShardSession {
    pub(crate) shard: usize,
    /// Begins with the id of the client. The rest is random, so that a session is never taken for an earlier one.
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) entries: OwnEntries,
    pub(crate) history: Arc<History>,
    /// The number of the history that the session belongs to.
    pub(crate) history_number: u64,
    pub(crate) end: Arc<SessionEnd>,
}

impl ShardSession {
    /// Writes the session's key, which also shows that the user may run all commands.
    pub(crate) async fn open(
        connections: &Connections,
        (shard, shards): (usize, usize),
        (id, key): (String, String),
        (member, ttl): (&Name, Duration),
        history: Arc<History>,
        end: Arc<SessionEnd>,
    ) -> Result<Self> {
        let (ttl, greatest) = (ttl.as_millis().to_string(), history.greatest());
        let (name, seen, count) = (Nonce::random().to_string(), greatest.to_string(), shards.to_string());
        let earlier = history.latest_opening().map(|earlier| (earlier.number.to_string(), earlier.session));
        let mut args = vec![id.as_bytes(), ttl.as_bytes(), member.as_bytes(), name.as_bytes(), seen.as_bytes()];
        args.push(count.as_bytes());
        args.extend(earlier.iter().flat_map(|(number, session)| [number.as_bytes(), session.as_bytes()]));
        let mut reply = connections.run(&OPEN, &key, &args).await?;
        if reply.status() == "SHARDS" {
            return Err(other_shards(reply.natural()?, shards));
        }
        let name = String::from_utf8_lossy(&reply.bytes().unwrap_or_default()).into_owned();
        let (last, number, knows_earlier) = (reply.natural()?, reply.natural()?, reply.natural()? == 1);
        let opening = Opening { number, session: id.clone() };
        let history_number = history.opened(Opened { name, last, opening, knows_earlier }, greatest);
        Ok(Self { shard, id, key, entries: OwnEntries::default(), history, history_number, end })
    }

    /// Records that another client has removed an entry.
    pub(crate) fn lost_entry(&self, nonce: Nonce) {
        if self.entries.removed(nonce) {
            self.end.report(Loss::Entry(nonce));
        }
    }

    /// Finds out which entries the server has lost, and removes those that the client has seen leave and the server has not.
    ///
    /// # Errors
    /// `SessionLost` also if the history is another one.
    pub(crate) async fn compare_entries(&self, connections: &Connections) -> Result<()> {
        let (confirmed, greatest) = (self.entries.confirmed(), self.history.greatest());
        let mut found = HashSet::new();
        for (nonce, roster) in self.read_entries(connections, greatest).await? {
            if !self.entries.contains(nonce) {
                let (nonce, ttl) = (nonce.to_string(), TOMBSTONE_TTL.as_millis().to_string());
                let args = [self.key.as_bytes(), nonce.as_bytes(), ttl.as_bytes()];
                connections.run(&WITHDRAW, &roster, &args).await?;
            }
            found.insert(nonce);
        }
        confirmed.difference(&found).for_each(|nonce| self.lost_entry(*nonce));
        Ok(())
    }

    /// The entries of the session on the server, with the keys of their rosters.
    async fn read_entries(&self, connections: &Connections, greatest: u64) -> Result<Vec<(Nonce, String)>> {
        let (mut entries, mut cursor) = (Vec::new(), b"0".to_vec());
        loop {
            let mut reply = connections.run(&ENTRIES, &self.key, &[&cursor]).await?;
            if reply.status() == "LOST" {
                return Err(session_lost());
            }
            let last = reply.natural()?;
            if last < greatest {
                self.history.is_another(last);
            }
            // Another session of the driver may have noticed it first.
            if self.history.number() != self.history_number {
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
}
