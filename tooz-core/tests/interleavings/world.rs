//! What one schedule is about: the server, the requests on their way, who believes what, and what has been found wrong.

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

/// What the scheduler may do to the users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Time passes only while no request is on its way.
    Fair,
    /// Time passes as it likes, members are cut off, and sessions are ended by force.
    Foul,
}

/// How often what the properties are about has happened, over all schedules: a property of what never happens is void.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) grants: AtomicUsize,
    /// Grants while a guard that was lost was not yet given back.
    pub(crate) takeovers: AtomicUsize,
    pub(crate) released: AtomicUsize,
    pub(crate) dropped: AtomicUsize,
    pub(crate) given_up: AtomicUsize,
    pub(crate) losses: AtomicUsize,
    pub(crate) unanswered: AtomicUsize,
    pub(crate) closed: AtomicUsize,
}

impl Tally {
    pub(crate) fn count(number: &AtomicUsize) {
        number.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn expect_all(&self, numbers: &[&AtomicUsize]) {
        let replaying = std::env::var_os("TOOZ_SCHEDULE").is_some();
        let missing = numbers.iter().any(|number| number.load(Ordering::Relaxed) == 0);
        assert!(replaying || !missing, "something that the properties are about has never happened: {self:?}");
    }
}

pub(crate) type Request = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) name: String,
    pub(crate) server: Server,
    pub(crate) weather: Weather,
    pub(crate) tally: Arc<Tally>,
    pub(crate) runtime: Runtime,
    outbox: mpsc::UnboundedSender<Request>,
    under_way: AtomicUsize,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    guards: Vec<(String, Weak<Guard>)>,
    /// Whose sessions were ended by force, which they learn after the fact.
    forced: HashSet<String>,
    /// Who has begun to close, or has dropped all that it had.
    closing: HashSet<String>,
    /// How often each entry was entered.
    entered: HashMap<Nonce, u32>,
    /// How often core was told that an entry does not stand any more.
    removed: HashMap<Nonce, u32>,
    sessions_open: usize,
    violation: Option<String>,
}

impl World {
    pub(crate) fn new(weather: Weather, tally: Arc<Tally>) -> (Arc<Self>, mpsc::UnboundedReceiver<Request>) {
        static WORLDS: AtomicU64 = AtomicU64::new(0);
        let name = format!("interleavings-{}", WORLDS.fetch_add(1, Ordering::Relaxed));
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        // The runtime returns after each poll of a task.
        runtime.enable_time().start_paused(true).event_interval(1);
        let runtime = runtime.build().expect("a runtime without I/O can be built");
        let (outbox, requests) = mpsc::unbounded_channel();
        let (server, under_way, book) = (Server::named(&name), AtomicUsize::new(0), Mutex::default());
        (Arc::new(Self { name, server, weather, tally, runtime, outbox, under_way, book }), requests)
    }

    /// Lets the runtime poll at most one task of core.
    pub(crate) fn pump(&self) {
        let before = Instant::now();
        self.runtime.block_on(tokio::task::yield_now());
        assert_eq!(before, Instant::now(), "the clock moves only when the scheduler says so");
        if let Some(violation) = self.book().violation.take() {
            panic!("{violation}");
        }
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.runtime.block_on(tokio::time::advance(by));
    }

    /// Sends a request: it is carried out when the scheduler likes, whether or not anybody still waits for it.
    pub(crate) fn post(self: &Arc<Self>, request: impl Future<Output = ()> + Send + 'static) {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let world = self.clone();
        let request = async move {
            request.await;
            world.under_way.fetch_sub(1, Ordering::Relaxed);
        };
        // Without a network the schedule is over.
        let _ = self.outbox.send(Box::pin(request));
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) == 0
    }

    /// Notes what is wrong. It is told by the next `pump`, for Tokio swallows a panic of a task of core.
    fn violated(&self, what: String) {
        self.book().violation.get_or_insert(what);
    }

    /// The server has granted the entry with this token: whoever held before must know, and have been told, by now.
    pub(crate) fn granted(&self, token: u64) {
        let guards: Vec<_> = {
            let book = self.book();
            let unforced = book.guards.iter().filter(|(member, _)| !book.forced.contains(member));
            unforced.filter_map(|(member, guard)| Some((member.clone(), guard.upgrade()?))).collect()
        };
        for (member, guard) in guards.into_iter().filter(|(_, guard)| guard.fencing_token().0 != token) {
            if guard.is_held() {
                let earlier = guard.fencing_token();
                self.violated(format!("{member} believes that it holds {earlier} although {token} is granted"));
            } else if guard.lost().now_or_never().is_none() {
                self.violated(format!("{token} is granted before {member} is told of its loss"));
            }
            Tally::count(&self.tally.takeovers);
        }
    }

    /// A user has got this guard and believes in it from now on.
    pub(crate) fn believed(&self, member: &str, guard: Guard) -> Arc<Guard> {
        let guard = Arc::new(guard);
        self.granted(guard.fencing_token().0);
        if !guard.is_held() {
            self.violated(format!("{member} was given a guard that is lost"));
        }
        let mut book = self.book();
        book.guards.retain(|(_, guard)| guard.strong_count() > 0);
        book.guards.push((member.to_owned(), Arc::downgrade(&guard)));
        Tally::count(&self.tally.grants);
        guard
    }

    /// A user was told this of a guard.
    pub(crate) fn told(&self, member: &str, cause: &Error) {
        Tally::count(&self.tally.losses);
        if self.weather == Weather::Fair && !self.book().closing.contains(member) {
            self.violated(format!("{member} has lost a guard with nothing wrong: {cause}"));
        }
    }

    pub(crate) fn forced(&self, member: &str) {
        self.book().forced.insert(member.to_owned());
        self.server.expire(member);
    }

    pub(crate) fn closing(&self, member: &str) {
        self.book().closing.insert(member.to_owned());
    }

    /// Core wants `what` for the session of this member.
    pub(crate) fn keeps_alive(&self, member: &str, what: &str) {
        if self.book().closing.contains(member) {
            self.violated(format!("{what} for {member}, who has gone"));
        }
    }

    pub(crate) fn opened(&self) {
        self.book().sessions_open += 1;
    }

    pub(crate) fn closed(&self, member: &str, before: bool) {
        match before {
            true => self.violated(format!("a session of {member} was closed twice")),
            false => self.book().sessions_open -= 1,
        }
    }

    pub(crate) fn enters(&self, nonce: Nonce) {
        *self.book().entered.entry(nonce).or_default() += 1;
    }

    /// Core asks for the removal of an entry: until it is told that none stands, and once more if it had to enter repeatedly,
    /// for then the first request may still be on its way.
    pub(crate) fn removes(&self, nonce: Nonce, what: &str) {
        let book = self.book();
        let entered = book.entered.get(&nonce).copied().unwrap_or_default();
        let removed = book.removed.get(&nonce).copied().unwrap_or_default();
        drop(book);
        if removed >= entered.min(2) {
            self.violated(format!("{what} of an entry that does not stand any more"));
        }
    }

    pub(crate) fn removed(&self, nonce: Nonce) {
        *self.book().removed.entry(nonce).or_default() += 1;
    }

    /// Runs everything on until `over`, or until it should have been.
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

    pub(crate) fn sessions_open(&self) -> usize {
        self.book().sessions_open
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number below `bound`, chosen by the scheduler.
pub(crate) fn draw(bound: u32) -> u32 {
    shuttle::rand::thread_rng().gen_range(0..bound)
}

/// Lets the others go first, at most `most` times.
pub(crate) async fn pause(most: u32) {
    for _ in 0..draw(most) {
        yield_now().await;
    }
}
