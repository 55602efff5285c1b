//! Topics: persistent sequential znodes under one parent, which is never removed, so that their numbers never restart.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::future::join_all;
use futures_util::join;
use tokio::sync::Notify;
use tooz_core::driver::support::{gap, lock};
use tooz_core::driver::{Bounds, Message, Offset, Topics};
use tooz_core::{Error, ErrorKind, Name, Result};

use crate::client::{Client, CreateMode, any_fired};
use crate::error::{Answer, Fault, session_lost};
use crate::layout::{LAST_OFFSET, Layout, message, message_prefix, name_of, offset, sorted_behind};
use crate::limits::check_size;

/// How many messages one read returns at most; each may be almost a megabyte.
const BATCH: u64 = 32;

/// The topics of a namespace, as one session uses them.
#[derive(Debug)]
pub(crate) struct ZooKeeperTopics {
    client: Arc<Client>,
    layout: Arc<Layout>,
    /// The topics that this session has trimmed completely, with how many messages it kept.
    trimmed: Mutex<HashMap<String, u64>>,
}

impl ZooKeeperTopics {
    pub(crate) fn new(client: Arc<Client>, layout: Arc<Layout>) -> Self {
        Self { client, layout, trimmed: Mutex::default() }
    }
}

#[async_trait]
impl Topics for ZooKeeperTopics {
    async fn publish(&self, topic: &Name, payload: &[u8], keep: u64) -> Result<Offset> {
        self.append(topic, payload, keep).await.map_err(Fault::into_error)
    }

    async fn read(&self, topic: &Name, after: Offset, limit: usize) -> Result<Vec<Message>> {
        self.read_or_wait(topic, after, limit).await.map_err(Fault::into_error)
    }

    async fn names(&self, after: Option<&Name>, limit: usize) -> Result<Vec<Name>> {
        self.list(after, limit).await.map_err(Fault::into_error)
    }

    async fn bounds(&self, topic: &Name) -> Result<Bounds> {
        self.read_bounds(topic).await.map_err(Fault::into_error)
    }
}

impl ZooKeeperTopics {
    async fn append(&self, topic: &Name, payload: &[u8], keep: u64) -> Answer<Offset> {
        let topic = self.layout.topic(topic);
        check_size(&topic, payload)?;
        let prefix = message_prefix(&topic);
        let path = loop {
            match self.client.create(&prefix, payload, CreateMode::PersistentSequential).await {
                Err(Fault::NoNode) => self.client.create_all(&topic).await?,
                created => break created?.0,
            }
        };
        let Some(published) = offset(&path) else {
            self.client.delete_if_exists(&path).await?;
            return Err(full().into());
        };
        let last_old = Offset(published.0.saturating_sub(keep.max(1)));
        if last_old.0 > 0 {
            // Another session may have left more than `keep` messages.
            let all = lock(&self.trimmed).insert(topic.clone(), keep) != Some(keep);
            // In the background, since retention may lag.
            tokio::spawn(trim(self.client.clone(), topic, last_old, all));
        }
        Ok(published)
    }

    async fn read_or_wait(&self, topic: &Name, after: Offset, limit: usize) -> Answer<Vec<Message>> {
        self.client.check()?;
        let topic = self.layout.topic(topic);
        if after >= LAST_OFFSET {
            return Err(session_lost(&self.client.ended().await).into());
        }
        let next = message(&topic, Offset(after.0 + 1));
        let wakeup = Arc::new(Notify::new());
        loop {
            let newest = self.newest(&topic).await?;
            if newest > after {
                let count = BATCH.min(limit.max(1) as u64).min(newest.0 - after.0);
                let messages = self.messages(&topic, after, count).await?;
                if !messages.is_empty() {
                    return Ok(messages);
                }
                let Some((names, watch)) = self.client.children_watched(&topic, &wakeup).await? else { continue };
                let bounds = bounds(&names);
                if bounds.newest > after {
                    return Err(gap(after, bounds.trimmed).into());
                }
                // There is no later message: a znode of another program has taken the number.
                any_fired(&wakeup, || watch.has_fired()).await;
            } else {
                let (stat, watch) = self.client.exists_watched(&next, &wakeup).await?;
                any_fired(&wakeup, || stat.is_some() || watch.has_fired()).await;
            }
            self.client.check()?;
        }
    }

    async fn list(&self, after: Option<&Name>, limit: usize) -> Answer<Vec<Name>> {
        let parent = self.layout.topics();
        let (synced, znodes) = join!(self.client.sync(), self.client.children(&parent));
        synced?;
        let names = sorted_behind(znodes?, after).into_iter().filter_map(|znode| name_of(&parent, &znode));
        Ok(names.take(limit).collect())
    }

    async fn read_bounds(&self, topic: &Name) -> Answer<Bounds> {
        let topic = self.layout.topic(topic);
        let (synced, names) = join!(self.client.sync(), self.client.children(&topic));
        synced?;
        Ok(bounds(&names?))
    }

    /// Reads messages up to the first one that does not exist.
    async fn messages(&self, topic: &str, after: Offset, count: u64) -> Answer<Vec<Message>> {
        let offsets = (1..=count).map(|step| Offset(after.0 + step));
        let reads = offsets.clone().map(|offset| {
            let path = message(topic, offset);
            async move { self.client.data(&path).await }
        });
        let mut messages = Vec::new();
        for (offset, answer) in offsets.zip(join_all(reads).await) {
            match answer {
                Ok((payload, _)) => messages.push(Message { offset, payload }),
                Err(Fault::NoNode) => break,
                Err(fault) => return Err(fault),
            }
        }
        Ok(messages)
    }

    /// The greatest number that was given, as an offset: how many children were ever created.
    async fn newest(&self, topic: &str) -> Answer<Offset> {
        let stat = self.client.exists(topic).await?.unwrap_or_default();
        // ZooKeeper counts creations plus deletions; the children are creations minus deletions.
        Ok(Offset(u64::from(stat.cversion.wrapping_add(stat.children) as u32) / 2))
    }
}

/// The bounds of a topic with these znodes. Those of other programs are skipped.
fn bounds(names: &[String]) -> Bounds {
    let mut offsets: Vec<_> = names.iter().filter_map(|name| offset(name)).collect();
    offsets.sort_unstable();
    let newest = offsets.last().copied().unwrap_or_default();
    // Messages before a hole are about to be removed.
    let kept = offsets.iter().rev().zip(0..).take_while(|(offset, back)| offset.0 + back == newest.0);
    Bounds { trimmed: Offset(newest.0 - kept.count() as u64), newest }
}

fn full() -> Error {
    let message = "the topic is full: ZooKeeper numbers 2147483648 messages; publish to a topic with another name";
    Error::new(ErrorKind::Unsupported, message)
}

/// Removes the message at `last_old`, or all messages up to it. What fails is left to the next session that publishes.
async fn trim(client: Arc<Client>, topic: String, last_old: Offset, all: bool) {
    if !all {
        let _ = client.delete(&message(&topic, last_old), None).await;
        return;
    }
    let names = client.children(&topic).await.unwrap_or_default();
    let mut old: Vec<_> = names.iter().filter_map(|name| offset(name)).filter(|offset| *offset <= last_old).collect();
    old.sort_unstable();
    for offset in old {
        let deleted = client.delete(&message(&topic, offset), None).await;
        if deleted.is_err_and(|fault| fault.is_retryable() || fault.is_session_lost()) {
            return;
        }
    }
}
