//! Renews a session in the background.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::sleep;
use tooz_core::driver::Session;

/// Renews a session until it is dropped.
#[derive(Debug)]
pub(crate) struct Renewing(AbortHandle);

impl Renewing {
    /// Renews the session at this interval.
    pub(crate) fn start(session: &Arc<dyn Session>, interval: Duration) -> Self {
        let session = session.clone();
        let task = tokio::spawn(async move {
            loop {
                sleep(interval).await;
                // The user of the session notices its loss.
                let _ = session.renew().await;
            }
        });
        Self(task.abort_handle())
    }
}

impl Drop for Renewing {
    fn drop(&mut self) {
        self.0.abort();
    }
}
