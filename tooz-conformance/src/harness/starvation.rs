//! Notices that a trial did not get the processor: a ticker every 10 ms that ran more than 200 ms late.
//!
//! A trial that fails while it is starved says nothing about the driver, so the runner repeats it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;
use tokio::time::sleep;

const TICK: Duration = Duration::from_millis(10);
/// The least delay that counts as starvation.
const LATE: Duration = Duration::from_millis(200);

/// Watches the runtime that it was started on until it is dropped.
#[derive(Debug)]
pub(super) struct Watchdog {
    longest: Arc<AtomicU64>,
    ticker: AbortHandle,
}

impl Watchdog {
    pub(super) fn start() -> Self {
        let longest = Arc::new(AtomicU64::new(0));
        let record = longest.clone();
        let ticker = tokio::spawn(async move {
            loop {
                let before = Instant::now();
                sleep(TICK).await;
                let late = before.elapsed().saturating_sub(TICK).as_millis();
                record.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
        Self { longest, ticker: ticker.abort_handle() }
    }

    /// The longest delay of the ticker, if that is starvation.
    pub(super) fn starved(&self) -> Option<Duration> {
        Some(Duration::from_millis(self.longest.load(Ordering::Relaxed))).filter(|late| *late > LATE)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.ticker.abort();
    }
}
