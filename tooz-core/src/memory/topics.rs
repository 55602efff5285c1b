//! Topics in memory.

use std::collections::VecDeque;

use async_trait::async_trait;
use tokio::sync::watch;

use super::session::MemorySession;
use crate::driver::{Bounds, Message, Offset, Topics};
use crate::{Error, ErrorKind, Name, Result};

/// The log of one topic.
#[derive(Debug, Default)]
pub(super) struct Log {
    messages: VecDeque<Message>,
    bounds: Bounds,
    grown: watch::Sender<()>,
}

#[async_trait]
impl Topics for MemorySession {
    async fn publish(&self, topic: &Name, payload: &[u8], keep: u64) -> Result<Offset> {
        let mut state = self.request().await?;
        let log = state.space(&self.namespace).logs.entry(topic.clone()).or_default();
        let offset = Offset(log.bounds.newest.0 + 1);
        log.bounds.newest = offset;
        log.messages.push_back(Message { offset, payload: payload.to_vec() });
        while log.messages.len() as u64 > keep.max(1) {
            log.bounds.trimmed = log.messages.pop_front().map_or(log.bounds.trimmed, |message| message.offset);
        }
        log.grown.send_replace(());
        Ok(offset)
    }

    async fn read(&self, topic: &Name, after: Offset, limit: usize) -> Result<Vec<Message>> {
        loop {
            let mut grown = {
                let mut state = self.request().await?;
                let log = state.space(&self.namespace).logs.entry(topic.clone()).or_default();
                if after < log.bounds.trimmed {
                    return Err(Error::new(ErrorKind::Gap, "messages after this offset were removed by retention")
                        .with_context("after", after)
                        .with_context("removed up to", log.bounds.trimmed));
                }
                let first = log.messages.partition_point(|message| message.offset <= after);
                let batch: Vec<_> = log.messages.range(first..).take(limit.max(1)).cloned().collect();
                if !batch.is_empty() {
                    return Ok(batch);
                }
                log.grown.subscribe()
            };
            self.server.wait(async { grown.changed().await.unwrap_or_default() }).await;
        }
    }

    async fn bounds(&self, topic: &Name) -> Result<Bounds> {
        let mut state = self.request().await?;
        Ok(state.space(&self.namespace).logs.get(topic).map(|log| log.bounds).unwrap_or_default())
    }
}
