//! This client's membership of a group, which continues in the next session after a loss.
//!
//! - Joining again never removes another client. If the member id is taken by an entry of an earlier session of this
//!   membership, that entry is removed. Any other entry shows that another client took the member id over meanwhile.
//! - An attempt of unknown outcome may leave an entry, so the membership knows the nonces of its latest attempts.
//! - In another history of the server, an old entry that was restored with it looks like one of another client. There the
//!   membership takes the member id over.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde::Serialize;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::member::{Incarnation, MemberValue};
use crate::coordinator::{Coordinator, RosterTarget};
use crate::driver::support::lock;
use crate::driver::{IfBlocked, IfTaken, Key, Mode, Nonce, Roster};
use crate::entry::{EntryRequest, HeldEntry, acquire_as};
use crate::session::live::LiveSession;
use crate::session::rejoin::Rejoin;
use crate::{Error, ErrorKind, Name, Result};

/// How many attempts to join a membership remembers: more than can leave an entry within a TTL.
const ATTEMPTS_KEPT: usize = 64;

/// A membership of this client. Dropping it leaves the group in the background.
///
/// After a loss of the session the coordinator joins again as soon as it has a new session. It joins with the latest
/// capabilities and as a new [`Incarnation`].
#[derive(Debug)]
#[must_use = "dropping a membership leaves the group"]
pub struct Membership {
    shared: Arc<SharedMembership>,
}

/// The part of a membership that the supervisor of the sessions also uses.
#[derive(Debug)]
struct SharedMembership {
    target: RosterTarget,
    roster: Arc<Roster>,
    value: Mutex<MemberValue>,
    /// The latest attempts to join, the successful ones included.
    attempts: Mutex<VecDeque<Nonce>>,
    state: watch::Sender<MembershipState>,
}

/// What became of the last attempt to join.
#[derive(Clone, Debug)]
enum MembershipState {
    /// The latest entry. It may be lost, and another entry may follow then.
    Entered(Arc<HeldEntry>),
    /// The client will not join again, for this reason.
    Ended(Error),
}

impl Membership {
    pub(super) async fn join(target: &RosterTarget, value: Result<MemberValue>, if_taken: IfTaken) -> Result<Self> {
        let value = value?;
        let (roster, live) = target.open().await?;
        let nonce = Nonce::random();
        let entry = enter(nonce, target.coordinator(), live.clone(), roster, &value, if_taken).await?;
        let shared = Arc::new(SharedMembership {
            target: target.clone(),
            roster: roster.clone(),
            value: Mutex::new(value),
            attempts: Mutex::new(VecDeque::from([nonce])),
            state: watch::Sender::new(MembershipState::Entered(entry)),
        });
        let rejoining: Arc<dyn Rejoin> = shared.clone();
        target.coordinator().supervisor().enter_again_after_loss(Arc::downgrade(&rejoining), &live);
        Ok(Self { shared })
    }

    /// The name of the group.
    pub fn group(&self) -> &Name {
        &self.shared.roster.name
    }

    /// The member id.
    pub fn member(&self) -> &Name {
        self.coordinator().member()
    }

    /// The present incarnation; `None` from a loss until the coordinator has joined again.
    pub fn incarnation(&self) -> Option<Incarnation> {
        match &*self.shared.state.borrow() {
            MembershipState::Entered(entry) if entry.is_held() => Some(incarnation_of(entry)),
            _ => None,
        }
    }

    /// Returns the present incarnation; after a loss, waits until the coordinator has joined again. Cancel safe.
    ///
    /// # Errors
    /// - `MemberNotJoined` if the coordinator will not join again. The text says why: another client took the member id
    ///   over or removed the member, or the group no longer exists.
    /// - `Closed` once the coordinator is closed or its runtime has ended.
    pub async fn joined(&self) -> Result<Incarnation> {
        let joined = tokio::select! {
            biased;
            joined = self.shared.joined() => joined,
            ended = self.coordinator().supervisor().ended() => Err(ended),
        };
        joined.map_err(|error| error.with_operation("joined").with_context("group", self.group()))
    }

    /// Waits until the present incarnation is lost, and returns the cause. Cancel safe.
    ///
    /// After a `SessionLost` the coordinator joins again; after a `NotHeld` (a take-over or an eviction) and after `Closed` it does
    /// not.
    pub async fn lost(&self) -> Error {
        let state = self.shared.state.borrow().clone();
        match state {
            MembershipState::Entered(entry) => entry.lost().await,
            MembershipState::Ended(cause) => cause,
        }
    }

    /// Replaces the capabilities that other clients read. Position and incarnation stay. One request; atomic.
    ///
    /// # Errors
    /// - `MemberNotJoined`: another client took the member id over or removed the member.
    /// - `InvalidOption`: the capabilities cannot be encoded.
    /// - `SessionLost`, `Closed`, `Unavailable`.
    pub async fn update(&self, capabilities: impl Serialize) -> Result<()> {
        let value = lock(&self.shared.value).with_capabilities(capabilities);
        self.shared.target.run("update", self.shared.update(value)).await
    }

    /// Leaves the group. Success means that this client was a member until now.
    ///
    /// Cancel safe: if you drop the future, leaving continues in the background.
    ///
    /// # Errors
    /// `MemberNotJoined` if this client was not a member any more; `SessionLost`, `Closed`, `Unavailable`.
    pub async fn leave(self) -> Result<()> {
        let leave = async { self.shared.entry()?.release().await.map_err(explain) };
        self.shared.target.run("leave", leave).await
    }

    /// The coordinator that joined.
    pub fn coordinator(&self) -> &Coordinator {
        self.shared.target.coordinator()
    }
}

impl SharedMembership {
    fn entry(&self) -> Result<Arc<HeldEntry>> {
        match &*self.state.borrow() {
            MembershipState::Entered(entry) => Ok(entry.clone()),
            MembershipState::Ended(cause) => Err(cause.clone()),
        }
    }

    /// Waits until the present entry is held, or will not be again.
    async fn joined(&self) -> Result<Incarnation> {
        let mut states = self.state.subscribe();
        loop {
            let entry = match &*states.borrow_and_update() {
                MembershipState::Entered(entry) => entry.clone(),
                MembershipState::Ended(cause) => return Err(cause.clone()),
            };
            if entry.is_held() {
                return Ok(incarnation_of(&entry));
            }
            tokio::select! {
                biased;
                () = entry.evicted() => return Err(explain(entry.lost().await)),
                _ = states.changed() => {}
            }
        }
    }

    async fn update(&self, value: Result<MemberValue>) -> Result<()> {
        let value = value?;
        self.entry()?.replace(&value.to_bytes()).await.map_err(explain)?;
        *lock(&self.value) = value;
        Ok(())
    }

    /// Enters with a new nonce.
    async fn enter(&self, live: Arc<LiveSession>, if_taken: IfTaken) -> Result<Arc<HeldEntry>> {
        let (nonce, value) = (Nonce::random(), lock(&self.value).rejoining_now());
        {
            let mut attempts = lock(&self.attempts);
            attempts.truncate(ATTEMPTS_KEPT - 1);
            attempts.push_front(nonce);
        }
        enter(nonce, self.target.coordinator(), live, &self.roster, &value, if_taken).await
    }

    /// Enters again after the loss of the session of `last`.
    async fn enter_again(&self, live: Arc<LiveSession>, last: &HeldEntry) -> Result<Arc<HeldEntry>> {
        if live.session().history() != last.history() {
            return self.enter(live, IfTaken::TakeOver).await;
        }
        match self.enter(live.clone(), IfTaken::Refuse).await {
            Err(error) if error.kind() == ErrorKind::MemberAlreadyExists => {
                self.remove_own_entry(&live, last).await?;
                self.enter(live, IfTaken::Refuse).await
            }
            outcome => outcome,
        }
    }

    /// Removes the entry that an earlier session of this membership has left.
    ///
    /// # Errors
    /// `NotHeld` if the member id belongs to another client.
    async fn remove_own_entry(&self, live: &LiveSession, last: &HeldEntry) -> Result<()> {
        if live.call(|session| session.evict(&self.roster, last.ticket().seq)).await? {
            return Ok(());
        }
        let member = self.target.coordinator().member().as_bytes();
        let snapshot = live.call(|session| session.snapshot(&self.roster, None)).await?;
        for entry in snapshot.entries.iter().filter(|entry| entry.key.as_deref() == Some(member)) {
            if !lock(&self.attempts).contains(&entry.nonce) {
                return Err(Error::new(ErrorKind::NotHeld, "another client has joined with the member id"));
            }
            live.call(|session| session.evict(&self.roster, entry.seq)).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Rejoin for SharedMembership {
    /// Joins again, unless another client has removed the last incarnation or taken the member id over, or the group no
    /// longer exists. Any other failure may pass, so the caller tries again.
    async fn rejoin(&self, live: Arc<LiveSession>) -> bool {
        let Some(last) = self.entry().ok().filter(|entry| !entry.is_evicted()) else { return true };
        let (coordinator, group) = (self.target.coordinator(), &self.roster.name);
        match self.enter_again(live, &last).await {
            Ok(entry) => {
                info!(%group, member = %coordinator.member(), "joined again");
                self.state.send_replace(MembershipState::Entered(entry));
                true
            }
            Err(error) if error.is_not_held() || error.kind() == ErrorKind::GroupNotCreated => {
                warn!(%group, member = %coordinator.member(), %error, "will not join again");
                self.state.send_replace(MembershipState::Ended(explain(error)));
                true
            }
            Err(error) => {
                debug!(%group, member = %coordinator.member(), %error, "failed to join again for now");
                false
            }
        }
    }
}

async fn enter(
    nonce: Nonce,
    coordinator: &Coordinator,
    live: Arc<LiveSession>,
    roster: &Arc<Roster>,
    value: &MemberValue,
    if_taken: IfTaken,
) -> Result<Arc<HeldEntry>> {
    let value = value.to_bytes();
    let request = EntryRequest {
        key: Key::Unique(coordinator.member().as_bytes(), if_taken),
        mode: Mode::Member,
        limit: NonZeroU32::MIN,
        if_blocked: IfBlocked::Wait,
        needs_declared: true,
        value: &value,
    };
    let entry = acquire_as(nonce, coordinator, live, roster, request).await?;
    entry.map(Arc::new).ok_or_else(|| Error::new(ErrorKind::Unexpected, "the driver withdrew the entry of a member"))
}

fn incarnation_of(entry: &HeldEntry) -> Incarnation {
    Incarnation(entry.ticket().nonce)
}

/// Translates the end of a membership into the terms of groups.
fn explain(error: Error) -> Error {
    let message = match error.kind() {
        ErrorKind::NotHeld => {
            "another client took the member id over or removed the member; join again if that is right"
        }
        ErrorKind::GroupNotCreated => "the group no longer exists; create it and join again",
        _ => return error,
    };
    Error::new(ErrorKind::MemberNotJoined, message).with_source(error)
}
