//! What a coordinator enters again with each new session, such as its memberships.

use std::fmt::Debug;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;

use super::live::LiveSession;
use super::retry::Backoff;

/// Something that belongs to every session of a coordinator, such as the membership of a group.
#[async_trait]
pub(crate) trait Rejoin: Debug + Send + Sync {
    /// Tries once to enter again through a new session, and returns whether no further attempt is needed.
    async fn rejoin(&self, live: Arc<LiveSession>) -> bool;
}

/// Makes an entry enter again through `live` until no further attempt is needed, the entry is dropped, or the session is
/// lost. In the last case the next session starts again.
pub(super) async fn rejoin(entry: Weak<dyn Rejoin>, live: Arc<LiveSession>) {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    while let Some(entry) = entry.upgrade() {
        if entry.rejoin(live.clone()).await || !live.is_alive() {
            return;
        }
        // A membership that the user drops during the pause must leave at once.
        drop(entry);
        backoff.pause().await;
    }
}
