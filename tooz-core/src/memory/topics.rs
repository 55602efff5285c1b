//! The log of one topic.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use crate::Result;
use crate::driver::{Bounds, Message, Offset, support};

/// The newest messages of one topic, and the readers that wait for the next.
#[derive(Debug, Default)]
pub(super) struct Log {
    messages: VecDeque<Message>,
    bounds: Bounds,
    appended: Arc<Notify>,
}

impl Log {
    /// Appends a message and removes all but the newest `keep`.
    pub(super) fn publish(&mut self, payload: &[u8], keep: u64) -> Result<Offset> {
        let offset = Offset(self.bounds.newest.0.checked_add(1).ok_or_else(|| support::exhausted("offset"))?);
        self.bounds.newest = offset;
        self.messages.push_back(Message { offset, payload: payload.to_vec() });
        while self.messages.len() as u64 > keep.max(1)
            && let Some(oldest) = self.messages.pop_front()
        {
            self.bounds.trimmed = oldest.offset;
        }
        self.appended.notify_waiters();
        Ok(offset)
    }

    /// At most `limit` messages after `after`; empty if there is none yet.
    pub(super) fn read(&self, after: Offset, limit: usize) -> Result<Vec<Message>> {
        if after < self.bounds.trimmed {
            return Err(support::gap(after, self.bounds.trimmed));
        }
        let first = self.messages.partition_point(|message| message.offset <= after);
        Ok(self.messages.range(first..).take(limit.max(1)).cloned().collect())
    }

    pub(super) fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// A copy without readers.
    pub(super) fn backed_up(&self) -> Self {
        Self { messages: self.messages.clone(), bounds: self.bounds, appended: Arc::default() }
    }

    /// Resolves at the next message.
    pub(super) fn next_message(&self) -> OwnedNotified {
        self.appended.clone().notified_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn the_last_offset_is_neither_passed_nor_repeated() {
        let mut log = Log { bounds: Bounds { newest: Offset(u64::MAX - 1), ..Bounds::default() }, ..Log::default() };
        assert_eq!(log.publish(b"last", 1).unwrap(), Offset(u64::MAX));
        assert_eq!(log.publish(b"further", 1).unwrap_err().kind(), ErrorKind::Unexpected);
        assert!(log.read(Offset(u64::MAX), usize::MAX).unwrap().is_empty());
        assert_eq!(log.read(Offset(u64::MAX - 1), 0).unwrap().len(), 1);
    }
}
