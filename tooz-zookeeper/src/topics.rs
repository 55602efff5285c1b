//! Topics: persistent sequential znodes under one parent, which is never removed, so that their numbers never restart.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::future::join_all;
use futures_util::join;
use tokio::sync::Notify;
use tooz_core::driver::{Bounds, Message, Offset, Topics};
use tooz_core::{Error, ErrorKind, Name, Result};

use crate::client::{Client, Fault, Make, any_rung};
use crate::error::check_size;
use crate::layout::{message, message_prefix, offset};
use crate::roster::none_if_missing;
use crate::session::{Inner, create_all};

/// How many messages one read brings at most; each may be almost a megabyte.
const BATCH: u64 = 32;

/// The topics whose whole past this session has trimmed, and to how many messages.
#[derive(Debug, Default)]
pub(crate) struct Retention(Mutex<HashMap<String, u64>>);

impl Retention {
    /// Whether the past must be looked through, since others may have left more than `keep` messages.
    fn is_news(&self, topic: &str, keep: u64) -> bool {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.get(topic) == Some(&keep) {
            return false;
        }
        kept.insert(topic.to_owned(), keep);
        true
    }
}

#[async_trait]
impl Topics for Inner {
    async fn publish(&self, topic: &Name, payload: &[u8], keep: u64) -> Result<Offset> {
        let topic = self.layout.topic(topic);
        check_size(&topic, payload)?;
        let prefix = message_prefix(&topic);
        let path = loop {
            match self.client.create(&prefix, payload, Make::PersistentSequential).await {
                Err(Fault::NoNode) => create_all(&self.client, &topic).await?,
                created => break created?.0,
            }
        };
        let published = offset(&path)
            .ok_or_else(|| Error::new(ErrorKind::Unexpected, format!("ZooKeeper named the message \"{path}\"")))?;
        let last_old = Offset(published.0.saturating_sub(keep.max(1)));
        if last_old.0 > 0 {
            let all = self.retention.is_news(&topic, keep);
            // In the background: retention may lag, and a message is published once it stands.
            tokio::spawn(trim(self.client.clone(), topic, last_old, all));
        }
        Ok(published)
    }

    async fn read(&self, topic: &Name, after: Offset, limit: usize) -> Result<Vec<Message>> {
        self.client.check()?;
        let topic = self.layout.topic(topic);
        let next = message(&topic, Offset(after.0 + 1));
        let bell = Arc::new(Notify::new());
        loop {
            let newest = newest(&self.client, &topic).await?;
            if newest > after {
                let count = BATCH.min(limit.max(1) as u64).min(newest.0 - after.0);
                return self.messages(&topic, after, count).await;
            }
            let (stat, watch) = self.client.exists_watched(&next, &bell).await?;
            if stat.is_none() {
                any_rung(&bell, || watch.rung()).await;
                self.client.check()?;
            }
        }
    }

    async fn bounds(&self, topic: &Name) -> Result<Bounds> {
        let topic = self.layout.topic(topic);
        let (touched, names) = join!(self.client.touch(), self.client.children(&topic));
        touched?;
        let mut offsets: Vec<_> =
            none_if_missing(names)?.unwrap_or_default().iter().filter_map(|name| offset(name)).collect();
        offsets.sort_unstable();
        let newest = offsets.last().copied().unwrap_or_default();
        // What retention has not got to yet stands before a hole.
        let behind = offsets.iter().rev().zip(0..).take_while(|(offset, back)| offset.0 + back == newest.0);
        Ok(Bounds { trimmed: Offset(newest.0 - behind.count() as u64), newest })
    }
}

impl Inner {
    async fn messages(&self, topic: &str, after: Offset, count: u64) -> Result<Vec<Message>> {
        let offsets = (1..=count).map(|step| Offset(after.0 + step));
        let reads = offsets.clone().map(|offset| {
            let path = message(topic, offset);
            async move { self.client.data(&path).await }
        });
        let mut messages = Vec::new();
        for (offset, answer) in offsets.zip(join_all(reads).await) {
            match none_if_missing(answer)? {
                Some((payload, _)) => messages.push(Message { offset, payload }),
                None => break,
            }
        }
        if messages.is_empty() {
            return Err(Error::new(ErrorKind::Gap, "messages after this offset were removed by retention")
                .with_context("after", after));
        }
        Ok(messages)
    }
}

/// The greatest offset that was given, from the number of children that were ever created.
async fn newest(client: &Client, topic: &str) -> Result<Offset> {
    let stat = client.exists(topic).await?.unwrap_or_default();
    // Creations plus deletions, plus creations minus deletions.
    Ok(Offset(u64::from(stat.cversion.wrapping_add(stat.children) as u32) / 2))
}

/// Removes the message at `last_old`, or all up to it. What fails is left to the next session that publishes.
async fn trim(client: Arc<Client>, topic: String, last_old: Offset, all: bool) {
    if !all {
        let _ = client.delete(&message(&topic, last_old), None).await;
        return;
    }
    let names = client.children(&topic).await.unwrap_or_default();
    let mut old: Vec<_> = names.iter().filter_map(|name| offset(name)).filter(|offset| *offset <= last_old).collect();
    old.sort_unstable();
    for offset in old {
        if let Err(Fault::Over(_) | Fault::Away(_)) = client.delete(&message(&topic, offset), None).await {
            return;
        }
    }
}
