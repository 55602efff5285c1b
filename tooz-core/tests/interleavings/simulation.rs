//! The state of one schedule: the server, the requests under way, the guards of the clients, and the first violation.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use shuttle::future::yield_now;
use shuttle::rand::Rng;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tooz_core::driver::Nonce;
use tooz_core::memory::Server;
use tooz_core::{Error, Guard};

pub(crate) const TTL: Duration = Duration::from_secs(10);

/// Whether the schedule injects faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Faults {
    /// Time advances only while no request is under way.
    None,
    /// Time advances at any moment, members are cut off, and sessions are ended.
    Injected,
}

/// How often each kind of event has happened in all schedules. A property about an event that never happens is not
/// tested.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    pub(crate) grants: AtomicUsize,
    /// Grants while the client of an earlier, lost guard has not dropped it.
    pub(crate) takeovers: AtomicUsize,
    pub(crate) released: AtomicUsize,
    pub(crate) dropped: AtomicUsize,
    pub(crate) cancelled: AtomicUsize,
    pub(crate) losses: AtomicUsize,
    pub(crate) unanswered: AtomicUsize,
    pub(crate) closed: AtomicUsize,
}

impl Coverage {
    pub(crate) fn count(number: &AtomicUsize) {
        number.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn expect_all(&self, numbers: &[&AtomicUsize]) {
        let is_replay = std::env::var_os("TOOZ_SCHEDULE").is_some();
        let missing = numbers.iter().any(|number| number.load(Ordering::Relaxed) == 0);
        assert!(is_replay || !missing, "an expected event has never happened: {self:?}");
    }
}

pub(crate) type Request = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Debug)]
pub(crate) struct Simulation {
    pub(crate) name: String,
    pub(crate) server: Server,
    pub(crate) faults: Faults,
    pub(crate) coverage: Arc<Coverage>,
    pub(crate) runtime: Runtime,
    requests: mpsc::UnboundedSender<Request>,
    under_way: AtomicUsize,
    records: Mutex<Records>,
}

#[derive(Debug, Default)]
struct Records {
    guards: Vec<(String, Weak<Guard>)>,
    /// Members whose sessions the schedule has ended. Their guards report the loss afterwards.
    expired: HashSet<String>,
    /// Members that have begun to close or have dropped their coordinator.
    closing: HashSet<String>,
    /// The number of `enter` requests per entry.
    entered: HashMap<Nonce, u32>,
    /// The number of confirmed removals per entry.
    removed: HashMap<Nonce, u32>,
    open_sessions: usize,
    violation: Option<String>,
}

impl Simulation {
    pub(crate) fn new(faults: Faults, coverage: Arc<Coverage>) -> (Arc<Self>, mpsc::UnboundedReceiver<Request>) {
        static SIMULATIONS: AtomicU64 = AtomicU64::new(0);
        let name = format!("interleavings-{}", SIMULATIONS.fetch_add(1, Ordering::Relaxed));
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        // With this interval, the runtime returns after each poll of a task.
        runtime.enable_time().start_paused(true).event_interval(1);
        let runtime = runtime.build().expect("a runtime without I/O can be built");
        let (sender, requests) = mpsc::unbounded_channel();
        let (server, under_way, records) = (Server::named(&name), AtomicUsize::new(0), Mutex::default());
        (Arc::new(Self { name, server, faults, coverage, runtime, requests: sender, under_way, records }), requests)
    }

    /// Lets the runtime poll at most one task of core.
    pub(crate) fn poll_runtime(&self) {
        let before = Instant::now();
        self.runtime.block_on(tokio::task::yield_now());
        assert_eq!(before, Instant::now(), "the clock advances only by `advance`");
        if let Some(violation) = self.records().violation.take() {
            panic!("{violation}");
        }
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.runtime.block_on(tokio::time::advance(by));
    }

    /// Sends a request. The scheduler chooses when it runs, whether or not the caller still waits for it.
    pub(crate) fn send(self: &Arc<Self>, request: impl Future<Output = ()> + Send + 'static) {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let simulation = self.clone();
        let request = async move {
            request.await;
            simulation.under_way.fetch_sub(1, Ordering::Relaxed);
        };
        // Without a receiver the schedule is over.
        let _ = self.requests.send(Box::pin(request));
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) == 0
    }

    /// Records a violation. The next `poll_runtime` panics with it, because Tokio catches a panic in a task of core.
    fn violated(&self, what: String) {
        self.records().violation.get_or_insert(what);
    }

    /// Records that the server has granted the entry with this token. Earlier guards must have reported their loss by
    /// now.
    pub(crate) fn granted(&self, token: u64) {
        let guards: Vec<_> = {
            let records = self.records();
            let others = records.guards.iter().filter(|(member, _)| !records.expired.contains(member));
            others.filter_map(|(member, guard)| Some((member.clone(), guard.upgrade()?))).collect()
        };
        for (member, guard) in guards.into_iter().filter(|(_, guard)| guard.fencing_token().0 != token) {
            if guard.is_held() {
                let earlier = guard.fencing_token();
                self.violated(format!(
                    "{member} has a guard with token {earlier} that is held although {token} is granted"
                ));
            } else if guard.lost().now_or_never().is_none() {
                self.violated(format!("{token} is granted before the guard of {member} reports its loss"));
            }
            Coverage::count(&self.coverage.takeovers);
        }
    }

    /// Records that a client has received this guard.
    pub(crate) fn guard_returned(&self, member: &str, guard: Guard) -> Arc<Guard> {
        let guard = Arc::new(guard);
        self.granted(guard.fencing_token().0);
        if !guard.is_held() {
            self.violated(format!("{member} has received a guard that is lost"));
        }
        let mut records = self.records();
        records.guards.retain(|(_, guard)| guard.strong_count() > 0);
        records.guards.push((member.to_owned(), Arc::downgrade(&guard)));
        Coverage::count(&self.coverage.grants);
        guard
    }

    /// Records that a guard or its release has reported a loss.
    pub(crate) fn loss_reported(&self, member: &str, cause: &Error) {
        Coverage::count(&self.coverage.losses);
        if self.faults == Faults::None && !self.records().closing.contains(member) {
            self.violated(format!("{member} has lost a guard without a fault: {cause}"));
        }
    }

    pub(crate) fn expire(&self, member: &str) {
        self.records().expired.insert(member.to_owned());
        self.server.expire(member);
    }

    pub(crate) fn begin_close(&self, member: &str) {
        self.records().closing.insert(member.to_owned());
    }

    /// Core uses the session of a member, which must not have closed.
    pub(crate) fn check_is_used(&self, member: &str, what: &str) {
        if self.records().closing.contains(member) {
            self.violated(format!("{what} of {member}, which has closed"));
        }
    }

    pub(crate) fn session_opened(&self) {
        self.records().open_sessions += 1;
    }

    pub(crate) fn session_closed(&self, member: &str, before: bool) {
        match before {
            true => self.violated(format!("a session of {member} was closed twice")),
            false => self.records().open_sessions -= 1,
        }
    }

    pub(crate) fn enter_sent(&self, nonce: Nonce) {
        *self.records().entered.entry(nonce).or_default() += 1;
    }

    /// Records that core asks for the removal of an entry. Core may do so until one removal is confirmed, or two if it
    /// has repeated `enter`, because the first `enter` may still be under way.
    pub(crate) fn removal_sent(&self, nonce: Nonce, what: &str) {
        let records = self.records();
        let entered = records.entered.get(&nonce).copied().unwrap_or_default();
        let removed = records.removed.get(&nonce).copied().unwrap_or_default();
        drop(records);
        if removed >= entered.min(2) {
            self.violated(format!("{what} with an entry that is already removed"));
        }
    }

    pub(crate) fn removal_confirmed(&self, nonce: Nonce) {
        *self.records().removed.entry(nonce).or_default() += 1;
    }

    /// Continues the schedule until `over` and no request is under way, or until a time limit.
    pub(crate) async fn settle(&self, over: impl Fn() -> bool) {
        for _ in 0..40 {
            for _ in 0..20 {
                if over() && self.is_quiet() {
                    return;
                }
                yield_now().await;
            }
            self.advance(TTL / 10);
        }
    }

    pub(crate) fn open_sessions(&self) -> usize {
        self.records().open_sessions
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number below `bound` that the scheduler chooses.
pub(crate) fn random_below(bound: u32) -> u32 {
    shuttle::rand::thread_rng().gen_range(0..bound)
}

/// Lets other tasks run, at most `most` times.
pub(crate) async fn yield_at_most(most: u32) {
    for _ in 0..random_below(most) {
        yield_now().await;
    }
}
