//! A job that runs once in a period over all clients.
//!
//! - Time is divided into periods of one length, counted from 1970 by the clock of each host. A period is a number.
//! - A topic records the time of each start, so the record survives a crash of the client that ran the job. The newest
//!   message shows the period of the last run. The topic's name is a prefix and the name of the lock.
//! - In each period, every client reads the topic. If the period had no run yet, it acquires the lock, reads once more,
//!   records the start and runs the job. The others find the record and sleep until the next period.
//! - The start is recorded before the run, so a job that fails or crashes is not repeated in its period. It runs at most
//!   once in a period, and exactly once if some client lives and reaches the backend.
//! - Hosts whose clocks differ begin a period at different times, but each period has one number and one run. The least
//!   hold time keeps the next run of a host with a fast clock from starting too soon.
//!
//! Both hold times are those of ShedLock (`lockAtLeastFor`, `lockAtMostFor`), which keeps the time of the run in the row of
//! the lock instead. Here the lock belongs to a session, so the crash of a client frees it without an upper limit.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::guard::Guard;
use super::lock::Lock;
use crate::session::retry::Backoff;
use crate::time::unix_millis;
use crate::topic::Topic;
use crate::{Error, ErrorKind, Result};

/// What precedes the name of the lock in the name of the topic.
const TOPIC_PREFIX: &[u8] = b"tooz.once-per:";

/// How many starts the topic keeps, for people who look at it.
const STARTS_KEPT: u64 = 16;

/// The longest sleep before the next look at the clock, which may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// How often the job of [`Lock::once_per`] runs, and for how long it holds the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    length: Duration,
    least_hold: Duration,
    greatest_hold: Option<Duration>,
}

impl Period {
    /// One run in each period of this length, at least 1 ms. Periods are counted from 1970 in UTC, so a period of an hour
    /// begins at the full hour.
    #[must_use]
    pub const fn new(length: Duration) -> Self {
        Self { length, least_hold: Duration::ZERO, greatest_hold: None }
    }

    /// Holds the lock for at least `time` after the start, even if the job ends earlier. Default: zero.
    ///
    /// If `time` exceeds the difference between the clocks of the hosts, the next run starts no sooner than `time` after
    /// this one.
    #[must_use]
    pub const fn with_least_hold(self, time: Duration) -> Self {
        Self { least_hold: time, ..self }
    }

    /// Drops the job and releases the lock after `time`; see [`Lock::with_greatest_hold`]. Default: no limit.
    #[must_use]
    pub const fn with_greatest_hold(self, time: Duration) -> Self {
        Self { greatest_hold: Some(time), ..self }
    }

    fn check(&self) -> Result<()> {
        if self.length < Duration::from_millis(1) {
            return Err(Error::new(ErrorKind::InvalidOption, "a period must be at least one millisecond long"));
        }
        if self.greatest_hold.is_some_and(|greatest| greatest < self.least_hold) {
            return Err(Error::new(ErrorKind::InvalidOption, "the least hold time exceeds the greatest one"));
        }
        Ok(())
    }

    fn length_in_millis(&self) -> u64 {
        u64::try_from(self.length.as_millis()).unwrap_or(u64::MAX).max(1)
    }

    /// The number of the period at a time, in milliseconds since 1970.
    fn number(&self, at: u64) -> u64 {
        at / self.length_in_millis()
    }

    /// The time from `now` to the next period.
    fn rest(&self, now: u64) -> Duration {
        let length = self.length_in_millis();
        Duration::from_millis(length - now % length)
    }
}

impl From<Duration> for Period {
    fn from(length: Duration) -> Self {
        Self::new(length)
    }
}

/// How one attempt ended.
enum Attempt<E> {
    /// This period has had its run before.
    Over,
    /// The job has ended.
    Done,
    /// The lock was lost while the job ran.
    Lost(Error),
    Failed(E),
    ShutDown,
}

impl Lock {
    /// Runs `job` once in each period over all clients that call this with the same lock and period, until `shutdown` is
    /// cancelled.
    ///
    /// The client that runs the job holds the lock meanwhile. If the present period has had no run yet, the job runs at
    /// once. The start is recorded in the backend before the job runs, so a period has at most one run, even if the
    /// client crashes. A run that fails is not repeated before the next period.
    ///
    /// - At a loss of the lock, `job` is dropped at its present await.
    /// - When `shutdown` is cancelled, `job` is dropped, the lock released, and the call returns `Ok`.
    ///
    /// Periods are counted by the clocks of the hosts. The record is a message of the topic `tooz.once-per:<lock>`, so the
    /// backend must have topics, and the name of the lock must be 14 bytes shorter than [`Name::MAX_LEN`](crate::Name).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tooz_core::Error> {
    /// # let coordinator = tooz_core::connect("memory://once-per-doc").await?;
    /// use std::time::Duration;
    /// use tooz_core::{CancellationToken, Error, Period};
    ///
    /// let shutdown = CancellationToken::new(); // cancel it when the program receives SIGTERM
    /// # let stop = shutdown.clone();
    /// let period = Period::new(Duration::from_secs(3600)).with_greatest_hold(Duration::from_secs(600));
    /// coordinator.lock("report").once_per(period, &shutdown, |_guard| async {
    ///     println!("the report of this hour");
    /// #   stop.cancel();
    ///     Ok::<_, Error>(())
    /// }).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// - The error of `job`. The record stays, so another call continues with the next period.
    /// - `InvalidOption`: the period is shorter than 1 ms, or the least hold time exceeds the greatest one.
    /// - `Unsupported`: the backend has no topics.
    /// - `Closed`, `InvalidName`, `AuthFailed` and others that no retry can resolve. After `Unavailable`, `SessionLost` and
    ///   `NotHeld` it tries again instead.
    pub async fn once_per<F, E>(
        &self,
        period: impl Into<Period>,
        shutdown: &CancellationToken,
        mut job: impl FnMut(Arc<Guard>) -> F,
    ) -> Result<(), E>
    where
        F: Future<Output = Result<(), E>>,
        E: From<Error>,
    {
        let (lock, starts) = self.prepare(period.into()).map_err(|error| error.with_operation("once_per"))?;
        let mut backoff = Backoff::patient();
        loop {
            let pause = match attempt(&lock, &starts, shutdown, &mut job).await {
                Ok(end @ (Attempt::Over | Attempt::Done | Attempt::Lost(_))) => {
                    if let Attempt::Lost(cause) = end {
                        warn!(%cause, "lost the lock while the job ran; the job was dropped");
                    }
                    backoff = Backoff::patient();
                    shutdown.run_until_cancelled(sleep(starts.period.rest(unix_millis()).min(LONGEST_SLEEP))).await
                }
                Ok(Attempt::ShutDown) => return Ok(()),
                Ok(Attempt::Failed(error)) => return Err(error),
                Err(error) if error.may_pass() => {
                    warn!(%error, "failed to run a job once in a period; trying again");
                    shutdown.run_until_cancelled(backoff.pause()).await
                }
                Err(error) => return Err(error.with_operation("once_per").into()),
            };
            if pause.is_none() {
                return Ok(());
            }
        }
    }

    /// Runs `job` unless the present period has had its run, and returns whether it ran.
    ///
    /// This is one round of [`once_per`](Self::once_per), for a program that another scheduler starts. While another
    /// client runs the job of this period, the call waits until that run has ended. Cancel safe: if you drop the future,
    /// `job` is dropped, and the lock is released in the background.
    ///
    /// # Errors
    /// - The error of `job`, which is not repeated in this period.
    /// - `NotHeld`, `SessionLost`: the lock was lost, and `job` was dropped if it ran.
    /// - `Unavailable`, and as `once_per`.
    pub async fn once_in<F, E>(&self, period: impl Into<Period>, job: impl FnOnce(Arc<Guard>) -> F) -> Result<bool, E>
    where
        F: Future<Output = Result<(), E>>,
        E: From<Error>,
    {
        let (lock, starts) = self.prepare(period.into()).map_err(|error| error.with_operation("once_in"))?;
        match attempt(&lock, &starts, &CancellationToken::new(), job).await {
            Ok(Attempt::Over | Attempt::ShutDown) => Ok(false),
            Ok(Attempt::Done) => Ok(true),
            Ok(Attempt::Failed(error)) => Err(error),
            Ok(Attempt::Lost(error)) | Err(error) => Err(error.with_operation("once_in").into()),
        }
    }

    /// The lock with the greatest hold time of the period, and the record of the starts.
    fn prepare(&self, period: Period) -> Result<(Self, Starts)> {
        period.check()?;
        let lock = period.greatest_hold.map_or_else(|| self.clone(), |hold| self.with_greatest_hold(hold));
        let name = [TOPIC_PREFIX, self.name()?.as_bytes()].concat();
        Ok((lock, Starts { topic: self.coordinator().topic(name).keep(STARTS_KEPT), period }))
    }
}

/// The record of the starts.
struct Starts {
    topic: Topic,
    period: Period,
}

impl Starts {
    /// Whether the present period has had its run.
    async fn has_run(&self) -> Result<bool> {
        let newest = self.topic.newest().await?;
        let start = newest.as_ref().and_then(|message| std::str::from_utf8(&message.payload).ok()?.parse().ok());
        Ok(start.is_some_and(|start| self.period.number(start) >= self.period.number(unix_millis())))
    }

    /// Records that the present period has its run. If the outcome is unknown, the caller reads the record again.
    async fn record(&self) -> Result<()> {
        self.topic.publish(unix_millis().to_string().as_bytes()).await.map(drop)
    }
}

/// Runs the job unless the present period has had its run.
async fn attempt<F, E>(
    lock: &Lock,
    starts: &Starts,
    shutdown: &CancellationToken,
    job: impl FnOnce(Arc<Guard>) -> F,
) -> Result<Attempt<E>>
where
    F: Future<Output = Result<(), E>>,
{
    if starts.has_run().await? {
        return Ok(Attempt::Over);
    }
    let Some(guard) = shutdown.run_until_cancelled(lock.acquire()).await else { return Ok(Attempt::ShutDown) };
    let guard = Arc::new(guard?);
    if guard.run(starts.has_run()).await? {
        guard.release_shared().await?;
        return Ok(Attempt::Over);
    }
    let earliest_release = Instant::now() + starts.period.least_hold;
    guard.run(starts.record()).await?;
    let end = tokio::select! {
        biased;
        cause = guard.lost() => return Ok(Attempt::Lost(cause)),
        () = shutdown.cancelled() => Attempt::ShutDown,
        result = job(guard.clone()) => match result {
            Ok(()) => Attempt::Done,
            Err(error) => Attempt::Failed(error),
        },
    };
    shutdown.run_until_cancelled(sleep_until(earliest_release)).await;
    if let Err(error) = guard.release_shared().await {
        debug!(%error, "the lock of a job was not released; it was lost, or the release continues in the background");
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_counted_from_1970() {
        let hour = Period::new(Duration::from_secs(3600));
        assert_eq!((hour.number(3_599_999), hour.number(3_600_000)), (0, 1));
        assert_eq!(hour.rest(3_599_999), Duration::from_millis(1));
        assert_eq!(hour.rest(3_600_000), Duration::from_secs(3600));
        assert_eq!(Period::new(Duration::MAX).number(u64::MAX - 1), 0);
    }

    #[test]
    fn a_least_hold_time_above_the_greatest_is_refused() {
        let second = Duration::from_secs(1);
        let period = Period::new(second).with_greatest_hold(second);
        assert!(period.with_least_hold(second).check().is_ok());
        assert!(period.with_least_hold(2 * second).check().is_err());
        assert!(Period::new(Duration::ZERO).check().is_err());
    }
}
