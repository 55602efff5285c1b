//! Decides whether a session is alive, and so when a lock, a leadership or a membership is lost.
//!
//! - A session is alive until the backend reports its end, the coordinator closes it, or its deadline passes.
//! - The deadline is the time at which the last successful renewal was *sent*, plus the TTL, less a tenth of the TTL.
//!   The backend counts the TTL from a later moment, so the client gives up before the backend grants to another.
//! - A driver may know only of an earlier expiry, `Session::expiry`. The deadline is then a tenth of the TTL before that.
//! - The tenth covers the drift between the two clocks and the time that the client takes to notice.
//! - The clock continues while the host is suspended, as the backend's clock does.
//! - In a fork of the process that opened it, a session is lost.
//!
//! The recipe is that of leases: C. Gray and D. Cheriton, "Leases: an efficient fault-tolerant mechanism for
//! distributed file cache consistency", 1989.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use super::process::OwnerProcess;
use crate::time::Moment;
use crate::{Error, ErrorKind};

/// The liveness of one session.
#[derive(Debug)]
pub(crate) struct Liveness {
    process: OwnerProcess,
    deadline: Deadline,
    lost: CancellationToken,
    cause: OnceLock<Error>,
}

impl Liveness {
    /// A session whose opening was requested at `sent`. Without a TTL its liveness does not depend on time.
    pub(crate) fn new(process: OwnerProcess, ttl: Option<Duration>, sent: Moment) -> Self {
        let (deadline, lost) = (Deadline::new(ttl, sent), CancellationToken::new());
        Self { process, deadline, lost, cause: OnceLock::new() }
    }

    /// The process that opened the session.
    pub(crate) fn process(&self) -> OwnerProcess {
        self.process
    }

    /// Records that the renewal sent at `sent` has succeeded. `expiry` is when the backend may end the session, if the
    /// driver knows that this is earlier than usual.
    pub(crate) fn renewed(&self, sent: Moment, expiry: Option<Moment>) {
        self.deadline.extend(sent, expiry);
    }

    /// When the next renewal is due if the last one was sent at `sent`: after `interval`, or earlier if the deadline is
    /// near.
    pub(crate) fn next_renewal(&self, sent: Moment, interval: Duration) -> Moment {
        let half = self.deadline().map(|deadline| deadline.saturating_duration_since(sent) / 2);
        sent + half.map_or(interval, |half| half.min(interval))
    }

    /// When the session is lost unless a renewal succeeds before; `None` if its liveness does not depend on time.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        self.deadline.get()
    }

    /// For how long the session stays alive without a further renewal; `None` if it does not depend on time.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        self.deadline.remaining()
    }

    /// Whether the client may rely on what the session holds. Compares the clock with the deadline; never waits.
    pub(crate) fn is_alive(&self) -> bool {
        self.process.is_current() && !self.lost.is_cancelled() && !self.deadline.has_passed()
    }

    /// Ends the session for this client. The first cause is kept.
    pub(crate) fn lose(&self, cause: Error) {
        if !self.process.is_current() {
            return;
        }
        let _ = self.cause.set(cause);
        self.lost.cancel();
    }

    /// The cause, if the loss was reported before.
    pub(crate) fn recorded_loss(&self) -> Option<Error> {
        (self.lost.is_cancelled() || !self.process.is_current()).then(|| self.cause())
    }

    /// Why the session is lost. Meaningful once it is.
    pub(crate) fn cause(&self) -> Error {
        if !self.process.is_current() {
            return self.process.error();
        }
        self.cause.get().cloned().unwrap_or_else(deadline_passed)
    }

    /// Waits until the session is lost and returns the cause. Each caller has a timer of its own for the deadline, so
    /// the loss does not depend on the task that renews the session. Cancel safe.
    ///
    /// Each poll compares the clock with the deadline. So after a suspend of the host, a caller that wakes for another
    /// reason still learns of the loss first.
    pub(crate) async fn lost(&self) -> Error {
        let mut waiting = pin!(self.loss_or_deadline());
        poll_fn(|context| if self.is_alive() { waiting.as_mut().poll(context) } else { Poll::Ready(()) }).await;
        self.lose(deadline_passed());
        self.cause()
    }

    /// Waits until [`lose`](Self::lose) was called. It has no timer: the supervisor watches the deadline. Cancel safe.
    pub(crate) async fn loss_recorded(&self) {
        let _ = self.process.run(self.lost.cancelled()).await;
    }

    async fn loss_or_deadline(&self) {
        // A renewal may have moved the deadline while this call waited for the earlier one.
        while self.is_alive() {
            tokio::select! {
                biased;
                () = self.lost.cancelled() => {}
                () = self.deadline.passed() => {}
            }
        }
    }
}

/// The deadline of a session. It only moves forward.
#[derive(Debug)]
struct Deadline {
    ttl: Option<Duration>,
    opened: Moment,
    /// Nanoseconds after `opened`.
    nanos: AtomicU64,
}

impl Deadline {
    fn new(ttl: Option<Duration>, opened: Moment) -> Self {
        let deadline = Self { ttl, opened, nanos: AtomicU64::new(0) };
        deadline.extend(opened, None);
        deadline
    }

    fn extend(&self, sent: Moment, expiry: Option<Moment>) {
        if let Some(ttl) = self.ttl {
            let whole = sent.saturating_duration_since(self.opened).saturating_add(ttl);
            let known = expiry.map_or(whole, |expiry| expiry.saturating_duration_since(self.opened).min(whole));
            let nanos = u64::try_from(known.saturating_sub(ttl / 10).as_nanos()).unwrap_or(u64::MAX);
            self.nanos.fetch_max(nanos, Ordering::SeqCst);
        }
    }

    fn get(&self) -> Option<Moment> {
        self.ttl?;
        Some(self.opened + Duration::from_nanos(self.nanos.load(Ordering::SeqCst)))
    }

    fn remaining(&self) -> Option<Duration> {
        self.get().map(Moment::remaining)
    }

    fn has_passed(&self) -> bool {
        self.get().is_some_and(Moment::has_passed)
    }

    /// Waits for the present deadline, on a clock that stops during a suspend. Without a deadline it never returns.
    async fn passed(&self) {
        match self.get() {
            Some(deadline) => sleep_until(deadline.as_instant()).await,
            None => std::future::pending().await,
        }
    }
}

fn deadline_passed() -> Error {
    Error::new(
        ErrorKind::SessionLost,
        "no renewal of the session succeeded before its deadline; check the network and whether the host was suspended, \
         or connect with a longer TTL",
    )
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, advance, sleep, timeout};

    use super::*;
    use crate::time::tests::suspend;
    use crate::{Coordinator, SessionState};

    const TTL: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn after_a_suspend_beyond_the_deadline_nothing_reports_that_the_session_lives() {
        let a = Coordinator::builder("memory://suspended").member("a").ttl(TTL).connect().await.unwrap();
        let guard = a.lock("l").acquire().await.unwrap();
        let mut states = a.states();
        assert_eq!(states.next().await, Some(SessionState::Connected));
        sleep(Duration::from_secs(1)).await;
        suspend(TTL);
        let woke = Instant::now();
        assert!(!guard.is_held());
        assert_eq!(guard.remaining(), Some(Duration::ZERO));
        assert_eq!(a.state(), SessionState::Lost);
        assert!(guard.lost().await.is_session_lost());
        assert_eq!(woke.elapsed(), Duration::ZERO, "the first poll reports the loss");
        let mut later = a.states();
        for states in [&mut states, &mut later] {
            assert_eq!(states.next().await, Some(SessionState::Lost));
        }
        assert_eq!(later.next().await, Some(SessionState::Connected));
        assert_eq!(states.next().await, Some(SessionState::Connected));
        assert!(woke.elapsed() < TTL / 20, "{:?}", woke.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_task_learns_of_the_loss_soon_after_a_suspend() {
        let a = Coordinator::builder("memory://suspended-wait").member("a").ttl(TTL).connect().await.unwrap();
        let guard = a.lock("l").acquire().await.unwrap();
        let waiting = tokio::spawn(async move {
            assert!(guard.lost().await.is_session_lost());
            Instant::now()
        });
        sleep(Duration::from_secs(1)).await;
        suspend(TTL);
        let woke = Instant::now();
        let told = timeout(TTL, waiting).await.unwrap().unwrap();
        assert!(told - woke <= TTL / 20, "{:?}", told - woke);
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspend_that_is_shorter_than_the_ttl_loses_nothing() {
        let a = Coordinator::builder("memory://suspended-short").member("a").ttl(TTL).connect().await.unwrap();
        let guard = a.lock("l").acquire().await.unwrap();
        for _ in 0..10 {
            // The renewal is due after a third of the TTL; the suspend leaves two seconds for it.
            sleep(TTL).await;
            suspend(TTL / 2);
        }
        sleep(TTL).await;
        assert!(guard.is_held());
        guard.release().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_expiry_moves_the_deadline_and_the_next_renewal() {
        let liveness = Liveness::new(OwnerProcess::current(), Some(TTL), Moment::now());
        advance(TTL / 2).await;
        let sent = Moment::now();
        liveness.renewed(sent, Some(sent + TTL / 2));
        assert_eq!(liveness.remaining(), Some(TTL * 4 / 10));
        assert_eq!(liveness.next_renewal(sent, TTL / 3).remaining(), TTL * 2 / 10);
        // A renewal whose expiry is later lasts for one TTL.
        liveness.renewed(sent, Some(sent + TTL * 2));
        assert_eq!(liveness.remaining(), Some(TTL * 9 / 10));
        assert_eq!(liveness.next_renewal(sent, TTL / 3).remaining(), TTL / 3);
    }

    #[tokio::test(start_paused = true)]
    async fn in_another_process_a_session_is_lost_from_the_beginning() {
        let liveness = Liveness::new(OwnerProcess::parent(), Some(TTL), Moment::now());
        assert!(!liveness.is_alive());
        assert!(liveness.lost().await.to_string().contains("fork"));
        timeout(TTL, liveness.loss_recorded()).await.unwrap();
        advance(TTL).await;
        assert!(liveness.recorded_loss().is_some_and(|cause| cause.to_string().contains("fork")));
    }
}
