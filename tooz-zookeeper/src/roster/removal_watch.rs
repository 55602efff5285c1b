//! Reports the removal of the session's own entries by other clients.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use tooz_core::driver::{Loss, Nonce};

use super::rosters::Rosters;
use crate::client::any_fired;

/// An entry that exists for less time is not worth a watch. If it is removed meanwhile, the first read shows that.
const SHORT_LIVED: Duration = Duration::from_millis(20);

/// The pause after a read that failed.
const RETRY: Duration = Duration::from_millis(200);

/// Waits until an entry is gone, and reports that unless the session itself has removed it.
pub(super) async fn report_removal(rosters: Weak<Rosters>, nonce: Nonce, path: String) {
    let wakeup = Arc::new(Notify::new());
    sleep(SHORT_LIVED).await;
    loop {
        let Some(rosters) = rosters.upgrade() else { return };
        // This watch fires only when the entry is deleted, and not when its value changes.
        let watch = match rosters.client.children_watched(&path, &wakeup).await {
            Ok(Some((_, watch))) => watch,
            Ok(None) => {
                if rosters.own.forget(nonce) {
                    // The receiver is gone if the session was dropped.
                    let _ = rosters.losses.send(Loss::Entry(nonce));
                }
                return;
            }
            Err(fault) if fault.is_session_lost() => return,
            Err(_) => {
                drop(rosters);
                sleep(RETRY).await;
                continue;
            }
        };
        drop(rosters);
        any_fired(&wakeup, || watch.has_fired()).await;
    }
}
