//! A clock for deadlines that continues while the host is suspended.
//!
//! A backend counts a session's TTL while a laptop sleeps or a virtual machine is paused; the monotonic clock of most
//! operating systems does not. A [`Moment`] therefore adds the time that the host has spent suspended to Tokio's clock.
//! Tests may still pause and advance Tokio's clock.

use std::ops::Add;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, sleep};

/// Smaller differences of the suspended time are noise: the two clocks are not read at one moment.
const NOISE: Duration = Duration::from_millis(1);

/// A point in time on a clock that includes the time in which the host was suspended.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    instant: Instant,
    suspended: Duration,
}

impl Moment {
    /// The present.
    pub fn now() -> Self {
        // In this order a delay between the two reads makes the result earlier, never later.
        let suspended = suspended();
        Self { instant: Instant::now(), suspended }
    }

    /// How long ago this was, including suspends; zero if it lies in the future.
    pub fn elapsed(self) -> Duration {
        Self::now().saturating_duration_since(self)
    }

    /// The time from `earlier` to this moment; zero if `earlier` is later.
    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        let slept = self.suspended.saturating_sub(earlier.suspended);
        let regained = earlier.suspended.saturating_sub(self.suspended);
        let [slept, regained] = [slept, regained].map(|time| if time < NOISE { Duration::ZERO } else { time });
        match self.instant.checked_duration_since(earlier.instant) {
            Some(awake) => (awake + slept).saturating_sub(regained),
            None => slept.saturating_sub(earlier.instant.duration_since(self.instant) + regained),
        }
    }

    /// The time from now to this moment; zero if it has passed.
    pub fn remaining(self) -> Duration {
        self.saturating_duration_since(Self::now())
    }

    /// Whether this moment lies in the past.
    pub fn has_passed(self) -> bool {
        self.remaining().is_zero()
    }

    /// This moment on Tokio's clock, for timers. It is too late if the host is suspended in between.
    pub fn as_instant(self) -> Instant {
        let slept_since = suspended().saturating_sub(self.suspended);
        self.instant.checked_sub(if slept_since < NOISE { Duration::ZERO } else { slept_since }).unwrap_or(self.instant)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    /// Saturates at a moment so distant that it never comes.
    fn add(self, duration: Duration) -> Self {
        const FAR: Duration = Duration::from_secs(86_400 * 365 * 30);
        let instant = self.instant.checked_add(duration.min(FAR)).unwrap_or(self.instant + FAR);
        Self { instant, ..self }
    }
}

/// Waits for `moment`. Tokio's timers stop while the host is suspended, so this function looks at the clock again after
/// each `check` (at least 50 ms). If `moment` falls into a suspend, it returns within `check` after the suspend.
pub async fn sleep_until(moment: Moment, check: Duration) {
    let check = check.max(Duration::from_millis(50));
    loop {
        let remaining = moment.remaining();
        if remaining.is_zero() {
            return;
        }
        sleep(remaining.min(check)).await;
    }
}

/// The milliseconds from 1970 until now, by the clock of this host.
pub(crate) fn unix_millis() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

/// The time that many milliseconds after 1970, or 1970 if the clock cannot represent it.
pub(crate) fn from_unix_millis(millis: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis)).unwrap_or(UNIX_EPOCH)
}

/// Points in time for serde: milliseconds since 1970.
pub(crate) mod serde_millis {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        let since_epoch: Duration = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        serializer.serialize_u64(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        u64::deserialize(deserializer).map(super::from_unix_millis)
    }
}

/// How long this host has been suspended since it started, including the suspends that a test simulates.
fn suspended() -> Duration {
    #[cfg(test)]
    return time_suspended() + tests::SUSPENDED.get();
    #[cfg(not(test))]
    time_suspended()
}

/// How long this host has been suspended since it started.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn time_suspended() -> Duration {
    use nix::time::ClockId;
    difference(ClockId::CLOCK_BOOTTIME, ClockId::CLOCK_MONOTONIC)
}

/// How long this host has been suspended since it started.
#[cfg(any(target_os = "macos", target_os = "ios"))]
fn time_suspended() -> Duration {
    use nix::time::ClockId;
    difference(ClockId::CLOCK_MONOTONIC, ClockId::from_raw(nix::libc::CLOCK_UPTIME_RAW))
}

/// The performance counter of Windows, which is its monotonic clock, includes suspends. On other systems a deadline does not
/// count the time of a suspend.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "macos", target_os = "ios")))]
fn time_suspended() -> Duration {
    Duration::ZERO
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "macos", target_os = "ios"))]
fn difference(with_suspends: nix::time::ClockId, without: nix::time::ClockId) -> Duration {
    let read = |clock: nix::time::ClockId| clock.now().map(Duration::from).unwrap_or_default();
    let mut suspended = Duration::ZERO;
    // The clocks are read one after the other. A thread that loses its processor in between reads them again.
    for _ in 0..8 {
        let before = read(without);
        suspended = read(with_suspends).saturating_sub(before);
        if read(without).saturating_sub(before) < NOISE / 2 {
            break;
        }
    }
    suspended
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// For how long the tests of this thread have suspended the host.
        pub(crate) static SUSPENDED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    /// Simulates a suspend of the host for this thread: Tokio's clock does not advance.
    pub(crate) fn suspend(duration: Duration) {
        SUSPENDED.set(SUSPENDED.get() + duration);
    }

    #[tokio::test(start_paused = true)]
    async fn tokio_s_paused_clock_counts() {
        let start = Moment::now();
        tokio::time::advance(Duration::from_secs(3)).await;
        assert!(start.elapsed() >= Duration::from_secs(3) && start.elapsed() < Duration::from_secs(4));
        assert!((start + Duration::from_secs(3)).has_passed());
        assert!(!(start + Duration::from_secs(5)).has_passed());
    }

    #[test]
    fn a_suspend_counts() {
        let before = Moment::now();
        let after = Moment { suspended: before.suspended + Duration::from_secs(60), ..before };
        assert_eq!(after.saturating_duration_since(before), Duration::from_secs(60));
        assert_eq!(before.saturating_duration_since(after), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_ends_during_a_suspend_returns_soon_after_it() {
        let (start, check) = (Instant::now(), Duration::from_secs(1));
        let end = Moment::now() + Duration::from_secs(100);
        let suspending = async {
            sleep(Duration::from_secs(10)).await;
            suspend(Duration::from_secs(95));
        };
        tokio::join!(sleep_until(end, check), suspending);
        assert!(start.elapsed() <= Duration::from_secs(12), "{:?}", start.elapsed());
    }

    #[test]
    fn the_distant_future_never_comes() {
        assert!(!(Moment::now() + Duration::MAX).has_passed());
    }
}
