//! The driver contract for sessions, which keep rosters.

use std::convert::Infallible;
use std::fmt::Debug;
use std::future::pending;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;

use super::{
    Follow, FollowBySnapshots, Kind, NewEntry, NewName, Nonce, Roster, Seq, Snapshot, Standing, Ticket, Topics,
    Version, admission,
};
use crate::time::Moment;
use crate::{Error, Name, Result};

/// How often the provided [`Session::watch_names`] asks for a listing.
const LISTING_INTERVAL: Duration = Duration::from_secs(1);

/// A loss that the backend reports; see [`Session::lost`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Loss {
    /// The session has ended.
    Session(Error),
    /// This entry was removed, by [`Session::evict`] or by [`IfTaken::TakeOver`](super::IfTaken).
    Entry(Nonce),
}

/// A session of one client. It owns its entries: when it ends, they are removed.
///
/// # Rules for all methods
/// Every rule has a number, and a trial of the conformance suite that fails names the rule that it checks.
/// - **R2 Atomicity.** Each method takes effect in one atomic step, with respect to all methods on all sessions.
/// - **R3 Concurrency.** Core calls methods concurrently.
/// - **R4 Cancel safety.** Core may drop a returned future at any await. The request may still arrive at the backend and
///   take effect. A dropped call leaves nothing else behind: no local state that a later call depends on.
/// - **R5 Errors.** A request that may or may not have reached the backend fails with `Unavailable` within the timeout of
///   the session. Core repeats it; a driver does not. A call that waits for a change, a turn, a message or a loss has no
///   time limit.
/// - **R6 Ended sessions.** When the backend no longer knows the session, `enter`, `leave`, `withdraw`, `replace` and
///   `renew` fail with `SessionLost`. An ended session never adds an entry, however late its request arrives.
/// - **R7 Expiry.** When a session ends by its TTL, its entries are removed as by `leave`: the waiters that this admits
///   wake, and the versions of the rosters change. This happens even if no request reaches the backend at that
///   time, so a driver that only notices expiry on requests needs a timer.
///
/// Core is responsible for renewals, deadlines, retries, member names, comparing snapshots, fencing and tracing.
#[async_trait]
pub trait Session: Debug + Send + Sync + 'static {
    /// The TTL that the backend granted; `None` if the life of the session does not depend on time. Constant.
    fn ttl(&self) -> Option<Duration>;

    /// The history of the server to which this session belongs. Constant.
    ///
    /// R8: the number differs from that of earlier sessions of the same [`Driver`](super::Driver) if the server has lost its
    /// data or was restored from a backup in between. Its seqs and offsets may have started again then, so core restarts
    /// observers and subscribers. Otherwise they would mistake smaller numbers for old ones.
    ///
    /// Provided: 0, for a backend whose numbers never start again.
    fn history(&self) -> u64 {
        0
    }

    /// Extends the life of the session and its entries by one TTL, counted from this call or later, or until its
    /// [`expiry`](Self::expiry).
    ///
    /// R9: it takes one request, however many entries the session has. It is idempotent.
    ///
    /// # Errors
    /// `SessionLost`, `Unavailable`.
    async fn renew(&self) -> Result<()>;

    /// When the backend may end a session that is not renewed again; `None` if that is one TTL after the last renewal was
    /// sent. It may be earlier after a suspend of the host, for instance. Core then renews earlier.
    ///
    /// Provided: `None`, since every renewal lasts for a whole TTL.
    fn expiry(&self) -> Option<Moment> {
        None
    }

    /// Ends the session, removes its entries and frees its local resources.
    ///
    /// R10: it returns within the timeout of the session, even if the server is away. Afterwards every method fails with
    /// `SessionLost`. It is idempotent.
    ///
    /// # Errors
    /// `Unavailable` if the request did not reach the backend, which then ends the session by its TTL.
    async fn close(&self) -> Result<()>;

    /// Waits for a loss: the end of the session, or the eviction of one of its entries.
    ///
    /// R11: each removed entry is reported once. An entry that the session removes by `leave` or `withdraw`, or that
    /// ends with the session, is not reported. Core calls `lost` again after each report.
    ///
    /// - A backend with push resolves this future as soon as the message arrives.
    /// - A driver without push finds missing entries when it [renews](Self::renew) the session, and resolves this future
    ///   then. So an eviction is reported within one heartbeat. Such a driver declares
    ///   [`DriverInfo::without_push`](super::DriverInfo::without_push).
    /// - Core also counts an entry as lost when `leave` returns `false`, or when `replace` or `await_turn` fails with
    ///   `NotHeld`.
    ///
    /// **Cancel safety:** complete. A report that a dropped call has not returned is returned by the next call.
    ///
    /// Provided: never resolves. This is correct only where entries cannot be evicted.
    async fn lost(&self) -> Loss {
        pending().await
    }

    /// Adds an entry at the end of the roster and returns what blocks it.
    ///
    /// **R12 Atomicity:** one step checks the declaration and the unique key, removes an entry that is taken over,
    /// decides by the [admission rule](admission) and adds the entry. Its seq is greater than that of every earlier
    /// entry of the roster.
    ///
    /// **R13 Idempotence:** by nonce. If the roster has an entry with this nonce, nothing is added or changed, and the
    /// present standing of that entry is returned.
    ///
    /// **Cancel safety:** the entry may or may not be in the roster, or may be added later. Core calls
    /// [`withdraw`](Self::withdraw).
    ///
    /// # Errors
    /// - `GroupNotCreated` if the entry needs a declared roster and this one is not.
    /// - `MemberAlreadyExists` if another entry has the unique key and the new one does not take over.
    /// - `NotHeld` if the nonce was withdrawn.
    /// - `SessionLost`, `Unavailable`.
    async fn enter(&self, roster: &Roster, entry: NewEntry<'_>) -> Result<Standing>;

    /// Removes the entry of this session that matches the ticket, wakes the waiters that this admits, and returns
    /// whether it removed an entry.
    ///
    /// **R14 Idempotence:** a second call returns `false`. A `leave` that arrives late removes no other entry, since
    /// nonces are unique.
    ///
    /// # Errors
    /// `SessionLost`, `Unavailable`.
    async fn leave(&self, roster: &Roster, ticket: &Ticket) -> Result<bool>;

    /// Ensures that this session has no entry with this nonce in the roster, now and later.
    ///
    /// R15: it removes the entry as `leave` does. An `enter` with this nonce that arrives afterwards adds nothing. Core
    /// calls it after an `enter` with an unknown outcome. If an `enter` was repeated, core also calls it when the entry is
    /// no longer needed, because an earlier request may still arrive. Core never enters with the nonce again.
    ///
    /// The backend or the driver remembers the nonce as long as a request that this session sent before may still
    /// arrive. A time limit is sufficient if it exceeds the longest delay of a request; a bounded buffer
    /// ([`Tombstones`](super::support::Tombstones)) is sufficient if its capacity exceeds the number of requests that
    /// the session has under way. The tombstones may be dropped with the session.
    ///
    /// **Idempotence:** a second call changes nothing.
    ///
    /// # Errors
    /// `SessionLost`, `Unavailable`.
    async fn withdraw(&self, roster: &Roster, nonce: Nonce) -> Result<()>;

    /// R16: replaces the value of the entry of the ticket, which keeps its position. It is idempotent.
    ///
    /// # Errors
    /// - `NotHeld` if the roster has no entry of this session that matches the ticket.
    /// - `SessionLost`, `Unavailable`.
    async fn replace(&self, roster: &Roster, ticket: &Ticket, value: &[u8]) -> Result<()>;

    /// Removes the entry with this seq, whichever session owns it, wakes the waiters that this admits, and returns
    /// whether it removed an entry.
    ///
    /// R17: the owner's [`lost`](Self::lost) reports it as [`Loss::Entry`].
    ///
    /// **Idempotence:** a second call returns `false` and reports nothing.
    ///
    /// # Errors
    /// `SessionLost`, `Unavailable`.
    async fn evict(&self, roster: &Roster, seq: Seq) -> Result<bool>;

    /// Reads the roster. With `newer_than`, waits until the version differs from it.
    ///
    /// R18: the driver compares versions, not events, so a caller misses no change between two calls, although several
    /// changes may appear as one. Entries of ended sessions are absent; the expiry of a session is a change like any
    /// other. The read is linearizable where the backend allows it.
    ///
    /// **Cancel safety:** complete. Reading changes nothing.
    ///
    /// # Errors
    /// `SessionLost`, `Unavailable`, `Corrupt`.
    async fn snapshot(&self, roster: &Roster, newer_than: Option<Version>) -> Result<Snapshot>;

    /// Follows the roster: a snapshot first, then each change; see [`Follow::next`]. Sends nothing by itself.
    ///
    /// R19: the updates agree with what `snapshot` would return. Core has one follower for each roster that is watched,
    /// however many watchers there are in the process. When a watcher is added, core begins a new follower, whose
    /// snapshot includes all earlier changes, and then drops the old one. Dropping a follower frees its resources.
    ///
    /// Provided: reads snapshots, so every change costs every client a read of the whole roster. A driver overrides it
    /// to send only what has changed.
    fn follow<'a>(&'a self, roster: &'a Roster) -> Box<dyn Follow + 'a> {
        Box::new(FollowBySnapshots::new(self, roster))
    }

    /// Waits until the entry of the ticket is admitted. Returns immediately if it already is.
    ///
    /// R20: before it returns, the driver knows from the backend that the entry was in the roster when the last blocking
    /// entry had left. It has read the roster since then, or the backend has reported the removals in a reliable order.
    ///
    /// **Cancel safety:** complete. The entry keeps its position, and a later call continues to wait.
    ///
    /// Provided: reads snapshots, which wakes every waiter at every change. A driver overrides it to wake only the
    /// waiters that a change admits.
    ///
    /// # Errors
    /// - `NotHeld` if the entry is no longer in the roster.
    /// - `SessionLost`, `Unavailable`.
    async fn await_turn(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        let mut snapshot = self.snapshot(roster, None).await?;
        loop {
            if admission::blocker_of(&snapshot.entries, ticket)?.is_none() {
                return Ok(());
            }
            snapshot = self.snapshot(roster, Some(snapshot.version)).await?;
        }
    }

    /// Declares the roster, which then exists without entries and independently of any session. Returns whether it was
    /// not declared before.
    ///
    /// **R21 Idempotence:** a second call returns `false`.
    ///
    /// # Errors
    /// `SessionLost`, `Unavailable`.
    async fn declare(&self, roster: &Roster) -> Result<bool>;

    /// Ends what `declare` began.
    ///
    /// **R22 Atomicity:** an `enter` at the same time either adds its entry, and `retract` fails, or finds the roster not
    /// declared.
    ///
    /// **Idempotence:** a second call fails with `GroupNotCreated`.
    ///
    /// # Errors
    /// - `GroupNotCreated` if the roster is not declared.
    /// - `GroupNotEmpty` if the roster has entries.
    /// - `SessionLost`, `Unavailable`.
    async fn retract(&self, roster: &Roster) -> Result<()>;

    /// R23: the names of all declared rosters of a kind, in ascending byte order.
    ///
    /// # Errors
    /// `SessionLost`, `Unavailable`.
    async fn declared(&self, kind: Kind) -> Result<Vec<Name>>;

    /// The names of rosters of a kind that have entries, at most `limit` (1 to 1,000) of them: the first ones, or those
    /// that follow `after`. A page with fewer names than `limit` is the last one.
    ///
    /// **R24 Order:** the driver's own, such as that of its keys. It never changes, so a listing can continue after a name
    /// that no longer has entries. A roster that has entries during the whole listing is listed exactly once.
    ///
    /// **Expiry:** a roster whose last entries belong to sessions that have ended may be listed until the backend has
    /// removed them.
    ///
    /// **Cost:** the work of one call depends on `limit` and not on the number of entries, as far as the backend
    /// allows. No call examines what does not belong to the namespace.
    ///
    /// # Errors
    /// `SessionLost`, `Unavailable`.
    async fn rosters(&self, kind: Kind, after: Option<&Name>, limit: usize) -> Result<Vec<Name>>;

    /// Calls `added` with [`NewName::Any`] as soon as it watches the namespace, and then with each name that comes into use.
    /// It returns only on an error.
    ///
    /// R29: a name comes into use when a roster without entries gets one, when a roster is declared, and with the first
    /// message of a topic. A read of the roster or topic, or a listing, that begins after the call finds it, unless it is out
    /// of use again. A driver that does not know the name, or may have missed one, calls with `Any`, which says that any
    /// names may have come into use. A name that was in use may be repeated. Names that go out of use need no call.
    ///
    /// **Cancel safety:** complete. Dropping the future ends the watch.
    ///
    /// Provided: calls with `Any` every second. A driver overrides it so that the watch of an idle backend costs nothing, and
    /// a new name costs no listing.
    ///
    /// # Errors
    /// `SessionLost`, `Unavailable`. Core begins another watch.
    async fn watch_names(&self, added: &(dyn Fn(NewName) + Send + Sync)) -> Result<Infallible> {
        loop {
            added(NewName::Any);
            sleep(LISTING_INTERVAL).await;
        }
    }

    /// A description of the server for people, such as `"Redis 7.2.4 at 127.0.0.1:6379"`, without credentials. Constant.
    ///
    /// Provided: `None`, for a backend that knows nothing about its server.
    fn server(&self) -> Option<String> {
        None
    }

    /// The topics of the session; `None` if the backend has none.
    fn topics(&self) -> Option<&dyn Topics> {
        None
    }
}
