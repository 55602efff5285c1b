//! This client's membership of a group, which continues in the next session after a loss.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde::Serialize;
use tokio::sync::watch;
use tracing::{info, warn};

use super::member::{Incarnation, MemberValue};
use crate::coordinator::{Coordinator, RosterTarget};
use crate::driver::support::lock;
use crate::driver::{IfBlocked, IfTaken, Key, Mode, Roster};
use crate::entry::{EntryRequest, HeldEntry, acquire};
use crate::session::live::LiveSession;
use crate::session::supervisor::Rejoin;
use crate::{Error, ErrorKind, Name, Result};

/// A membership of this client. Dropping it leaves the group in the background.
///
/// After a loss of the session the coordinator joins again by itself as soon as it has a new session, with the latest
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
    state: watch::Sender<MembershipState>,
}

/// What became of the last attempt to join.
#[derive(Clone, Debug)]
enum MembershipState {
    /// The latest entry. It may be lost, and another entry may follow then.
    Entered(Arc<HeldEntry>),
    /// Joining again has failed for good.
    Failed(Error),
}

impl Membership {
    pub(super) async fn join(target: &RosterTarget, value: Result<MemberValue>, if_taken: IfTaken) -> Result<Self> {
        let value = value?;
        let (roster, live) = target.open().await?;
        let entry = enter(target.coordinator(), live, roster, &value, if_taken).await?;
        let shared = Arc::new(SharedMembership {
            target: target.clone(),
            roster: roster.clone(),
            value: Mutex::new(value),
            state: watch::Sender::new(MembershipState::Entered(entry)),
        });
        let rejoining: Arc<dyn Rejoin> = shared.clone();
        target.coordinator().supervisor().enter_again_after_loss(Arc::downgrade(&rejoining));
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
    /// `MemberNotJoined` if the coordinator will not join again, because another client took the member id over or
    /// removed the member, or because the group no longer exists.
    pub async fn joined(&self) -> Result<Incarnation> {
        let mut states = self.shared.state.subscribe();
        loop {
            match &*states.borrow_and_update() {
                MembershipState::Entered(entry) if entry.is_held() => return Ok(incarnation_of(entry)),
                MembershipState::Entered(entry) if !entry.is_evicted() => {}
                _ => return Err(not_joined().with_operation("joined")),
            }
            if states.changed().await.is_err() {
                return Err(not_joined().with_operation("joined"));
            }
        }
    }

    /// Waits until the present incarnation is lost, and returns the cause. Cancel safe.
    ///
    /// After a `SessionLost` the coordinator joins again; after a `NotHeld` (a take-over or an eviction) it does not.
    pub async fn lost(&self) -> Error {
        let state = self.shared.state.borrow().clone();
        match state {
            MembershipState::Entered(entry) => entry.lost().await,
            MembershipState::Failed(cause) => cause,
        }
    }

    /// Replaces the capabilities that other clients read. Position and incarnation stay. One request; atomic.
    ///
    /// # Errors
    /// - `MemberNotJoined`: another client took the member id over or removed the member.
    /// - `InvalidOption`: the capabilities cannot be encoded.
    /// - `SessionLost`, `Unavailable`.
    pub async fn update(&self, capabilities: impl Serialize) -> Result<()> {
        let value = lock(&self.shared.value).with_capabilities(capabilities);
        self.shared.target.run("update", self.shared.update(value)).await
    }

    /// Leaves the group. Success means that this client was a member until now.
    ///
    /// Cancel safe: if you drop the future, leaving continues in the background.
    ///
    /// # Errors
    /// `MemberNotJoined` if this client was not a member any more; `SessionLost`, `Unavailable`.
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
            MembershipState::Failed(cause) => Err(not_joined().with_source(cause.clone())),
        }
    }

    async fn update(&self, value: Result<MemberValue>) -> Result<()> {
        let value = value?;
        self.entry()?.replace(&value.to_bytes()).await.map_err(explain)?;
        *lock(&self.value) = value;
        Ok(())
    }
}

#[async_trait]
impl Rejoin for SharedMembership {
    /// Joins again over the incarnation of the lost session, unless another client has removed that one.
    async fn rejoin(&self, live: Arc<LiveSession>) {
        if self.entry().is_ok_and(|entry| entry.is_evicted()) {
            return;
        }
        let (coordinator, group) = (self.target.coordinator(), &self.roster.name);
        let value = lock(&self.value).rejoining_now();
        match enter(coordinator, live, &self.roster, &value, IfTaken::TakeOver).await {
            Ok(entry) => {
                info!(%group, member = %coordinator.member(), "joined again");
                self.state.send_replace(MembershipState::Entered(entry));
            }
            // The next session tries again.
            Err(error) if error.is_session_lost() => {}
            Err(error) => {
                warn!(%group, member = %coordinator.member(), %error, "failed to join again");
                self.state.send_replace(MembershipState::Failed(error));
            }
        }
    }
}

async fn enter(
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
    let entry = acquire(coordinator, live, roster, request).await?;
    entry.map(Arc::new).ok_or_else(|| Error::new(ErrorKind::Unexpected, "the driver withdrew the entry of a member"))
}

fn incarnation_of(entry: &HeldEntry) -> Incarnation {
    Incarnation(entry.ticket().nonce)
}

fn not_joined() -> Error {
    Error::new(ErrorKind::MemberNotJoined, "this client is no longer a member of the group; join it again")
}

/// Translates the loss of an entry into the terms of groups.
fn explain(error: Error) -> Error {
    if error.is_not_held() { not_joined().with_source(error) } else { error }
}
