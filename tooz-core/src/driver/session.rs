//! What a driver implements: `Driver` opens sessions, `Session` keeps rosters.

use std::fmt::Debug;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Kind, NewEntry, Nonce, Roster, Seq, Snapshot, Standing, Ticket, Topics, Version, admission};
use crate::{Characteristic, Error, Name, Result, ServiceUrl};

/// How a driver is found: the schemes that it serves and the function that turns a URL into a [`Driver`].
///
/// A driver crate offers one as `pub const DRIVER` and submits it: `inventory::submit! { DRIVER }`.
#[derive(Clone, Copy, Debug)]
pub struct DriverEntry {
    /// The product, in lowercase: `"redis"`.
    pub name: &'static str,
    /// The URL schemes that lead here.
    pub schemes: &'static [&'static str],
    /// Reads the URL's hosts and options, without any I/O.
    ///
    /// # Errors
    /// `InvalidUrl` and `InvalidOption`; unknown options are refused, see [`ServiceUrl::options`].
    pub open: fn(&ServiceUrl) -> Result<Arc<dyn Driver>>,
}

inventory::collect!(DriverEntry);

/// What a driver says of itself, for the URL that it was opened with.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct DriverInfo {
    /// The product, in lowercase; it labels metrics and spans.
    pub name: &'static str,
    /// What holds on this backend. Claim only what the conformance suite has shown.
    pub characteristics: &'static [Characteristic],
    /// Whether sessions have [`Topics`].
    pub topics: bool,
    /// The session TTL that the driver's own URL options ask for; `ttl` and the builder take precedence.
    pub ttl: Option<Duration>,
    /// The least and the greatest TTL that the backend can keep. Core refuses any other at connect.
    pub ttl_range: (Duration, Duration),
}

impl DriverInfo {
    /// A driver without topics, whose URL asks for no TTL, for a backend that keeps TTLs from 1 ms to 136 years.
    pub const fn new(name: &'static str, characteristics: &'static [Characteristic]) -> Self {
        let ttl_range = (Duration::from_millis(1), Duration::from_secs(u32::MAX as u64));
        Self { name, characteristics, topics: false, ttl: None, ttl_range }
    }

    /// The same, with [`Topics`] in every session.
    #[must_use]
    pub const fn with_topics(mut self) -> Self {
        self.topics = true;
        self
    }

    /// The same, with the session TTL that the driver's own URL options ask for.
    #[must_use]
    pub const fn with_ttl(mut self, ttl: Option<Duration>) -> Self {
        self.ttl = ttl;
        self
    }

    /// The same, for a backend that keeps TTLs from `least` to `greatest` only.
    #[must_use]
    pub const fn with_ttl_range(mut self, least: Duration, greatest: Duration) -> Self {
        self.ttl_range = (least, greatest);
        self
    }
}

/// What a session is opened with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionOptions {
    /// Everything that the session reads or writes stands under this prefix. Never empty.
    pub namespace: String,
    /// Who opens it, for logs and for a client name that the backend can show.
    pub member: Name,
    /// After how long without a renewal the backend may drop the session. The backend may grant another one.
    pub ttl: Duration,
    /// How long one request may take before it fails with `Unavailable`. A driver bounds every request by it.
    pub timeout: Duration,
}

impl SessionOptions {
    /// Options of a session; `namespace` must not be empty.
    pub fn new(namespace: impl Into<String>, member: Name, ttl: Duration, timeout: Duration) -> Self {
        Self { namespace: namespace.into(), member, ttl, timeout }
    }
}

/// A backend at one URL. It holds no connection until a session is opened.
#[async_trait]
pub trait Driver: Debug + Send + Sync + 'static {
    /// What the driver says of itself. Constant.
    fn info(&self) -> DriverInfo;

    /// Connects and opens a session. Proves that the backend answers: a server that is away, frozen or something else
    /// is an error within `options.timeout`, never a session that hangs later. Sessions share nothing.
    ///
    /// Cancel safe: a session that was opened for a dropped future ends by itself, by its TTL at the latest.
    ///
    /// # Errors
    /// `Unavailable` (names the address and the cause), `AuthFailed`, `InvalidOption`, `Corrupt`, `Unsupported`.
    async fn open(&self, options: &SessionOptions) -> Result<Box<dyn Session>>;
}

/// News of a loss that the backend pushed; see [`Session::lost`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Loss {
    /// The session is over.
    Session(Error),
    /// Somebody else removed this entry of the session: by [`Session::evict`] or by a take-over.
    Entry(Nonce),
}

/// One session of one client. Every entry belongs to a session and dies with it.
///
/// **What core relies on.** Each verb is atomic against all others, by all clients. Any returned future may be dropped
/// at any point; core calls [`withdraw`](Session::withdraw) after an `enter` that was dropped or stayed ambiguous, and,
/// at the end of its entry, after one that had to be repeated: the first request may still be under way. A request that may or
/// may not have reached the backend fails with `Unavailable`, and core repeats it: a driver does not repeat by itself.
/// On a session that the backend no longer knows, `enter`, `leave`, `replace` and `renew` fail with `SessionLost`: a
/// dead session never adds an entry, however late its request arrives. Methods are called concurrently.
///
/// **What core does by itself:** renewals, deadlines, retries, timeouts, names of members, diffs, fencing, tracing.
#[async_trait]
pub trait Session: Debug + Send + Sync + 'static {
    /// The TTL as the backend granted it; `None` if liveness does not depend on time. Constant.
    fn ttl(&self) -> Option<Duration>;

    /// Which history of the server this session belongs to. Constant.
    ///
    /// The number differs from that of the sessions that the same [`Driver`] opened before if the server has been
    /// emptied or restored since, so that its seqs and offsets may have started again. Core then starts observers and
    /// subscribers anew instead of taking smaller numbers for old news.
    ///
    /// Provided: 0, for a backend whose numbers never start again.
    fn history(&self) -> u64 {
        0
    }

    /// Keeps the session, and with it every entry, alive for another TTL counted from a moment after this call.
    /// One request, however many entries there are. Idempotent.
    ///
    /// # Errors
    /// `SessionLost` if the backend no longer knows the session; `Unavailable`.
    async fn renew(&self) -> Result<()>;

    /// Removes the session and all its entries and frees what it holds locally. Idempotent; it always returns within
    /// the session's timeout, also when the server is away, and every later verb fails with `SessionLost`.
    ///
    /// # Errors
    /// `Unavailable` if the backend could not be told: it will then drop the session by its TTL.
    async fn close(&self) -> Result<()>;

    /// Waits for a loss that the backend reports by itself: the session's end, or the removal of one entry by someone
    /// else. Each removed entry is reported once. Called again after each report; cancel safe.
    ///
    /// Provided: never resolves. A backend without push reports evictions through what it learns in `renew`.
    async fn lost(&self) -> Loss {
        pending().await
    }

    /// Adds an entry at the end of the roster and says what blocks it, in one atomic step.
    ///
    /// Idempotent by nonce: if an entry with this nonce stands, nothing is added and its present standing is returned
    /// (its value stays as it was). A nonce that was withdrawn never enters. The seq of a new entry is greater than
    /// that of every entry that ever stood in this roster.
    ///
    /// # Errors
    /// `SessionLost`; `GroupNotCreated` if `needs_declared` and it is not; `MemberAlreadyExists` if the unique key is
    /// taken and the entry refuses; `NotHeld` if the nonce was withdrawn; `Unavailable`.
    async fn enter(&self, roster: &Roster, entry: NewEntry<'_>) -> Result<Standing>;

    /// Removes our entry if it stands exactly as in the ticket, and says whether it did. Wakes those whom it admits.
    /// Idempotent: the second call returns `false`.
    ///
    /// # Errors
    /// `SessionLost`, `Unavailable`.
    async fn leave(&self, roster: &Roster, ticket: &Ticket) -> Result<bool>;

    /// Makes sure that no entry of this session with this nonce stands or will ever stand: one that stands is removed
    /// as in `leave`, and an `enter` that is still under way (sent, but not yet carried out) adds nothing when it
    /// arrives. Called for an `enter` whose outcome is unknown. Idempotent.
    ///
    /// # Errors
    /// `SessionLost`, `Unavailable`.
    async fn withdraw(&self, roster: &Roster, nonce: Nonce) -> Result<()>;

    /// Replaces the value of our entry, which keeps its place. Idempotent.
    ///
    /// # Errors
    /// `NotHeld` if the entry does not stand as in the ticket; `SessionLost`, `Unavailable`.
    async fn replace(&self, roster: &Roster, ticket: &Ticket, value: &[u8]) -> Result<()>;

    /// Removes the entry with this seq, whoever owns it, tells the owner's session ([`Loss::Entry`]) and wakes those
    /// whom it admits. Returns whether an entry was removed. Idempotent.
    ///
    /// # Errors
    /// `SessionLost`, `Unavailable`.
    async fn evict(&self, roster: &Roster, seq: Seq) -> Result<bool>;

    /// Reads the roster. With `newer_than`, waits until its version differs from that; without, answers at once.
    ///
    /// Level-triggered: it is compared with the state, not with events, so nothing is missed between two calls.
    /// Entries of sessions that the backend has dropped are absent. Linearizable where the backend can.
    ///
    /// # Errors
    /// `SessionLost`, `Unavailable`, `Corrupt`.
    async fn snapshot(&self, roster: &Roster, newer_than: Option<Version>) -> Result<Snapshot>;

    /// Waits until the entry is admitted. Returns at once if it is already.
    ///
    /// Before it reports admission it knows from the backend that the entry stood when the last blocker had left: it has
    /// read so since, or was told of removals in an order that it may rely on.
    ///
    /// Provided: reads snapshots, which wakes every waiter at every change. Override it to wake only the successor.
    ///
    /// # Errors
    /// `NotHeld` if the entry was removed; `SessionLost`, `Unavailable`.
    async fn await_turn(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        let mut snapshot = self.snapshot(roster, None).await?;
        loop {
            if admission::blocker_of(&snapshot.entries, ticket)?.is_none() {
                return Ok(());
            }
            snapshot = self.snapshot(roster, Some(snapshot.version)).await?;
        }
    }

    /// Gives the roster a durable existence of its own, bound to no session. Returns whether it is new. Idempotent.
    ///
    /// # Errors
    /// `SessionLost`, `Unavailable`.
    async fn declare(&self, roster: &Roster) -> Result<bool>;

    /// Ends what `declare` began. Atomic against `enter`.
    ///
    /// # Errors
    /// `GroupNotCreated` if it was not declared; `GroupNotEmpty` if entries stand; `SessionLost`,
    /// `Unavailable`.
    async fn retract(&self, roster: &Roster) -> Result<()>;

    /// The names of all declared rosters of a kind, in byte order.
    ///
    /// # Errors
    /// `SessionLost`, `Unavailable`.
    async fn declared(&self, kind: Kind) -> Result<Vec<Name>>;

    /// The session's topics, or `None` where the backend has none.
    fn topics(&self) -> Option<&dyn Topics> {
        None
    }
}
