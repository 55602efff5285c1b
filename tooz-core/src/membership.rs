//! Our own membership of a group.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::coordinator::{Coordinator, Target};
use crate::driver::{IfBlocked, IfTaken, Key, Mode, Roster};
use crate::hold::{Hold, Request};
use crate::live::Live;
use crate::member::{Incarnation, MemberValue};
use crate::{Error, ErrorKind, Name, Result};

/// A membership that we hold. Dropping it leaves the group in the background.
///
/// When the session is lost, the coordinator joins again by itself as soon as it has a new one, with the latest
/// capabilities and as a new [`Incarnation`].
#[derive(Debug)]
#[must_use = "dropping a membership leaves the group"]
pub struct Membership {
    joined: Arc<Joined>,
}

/// What the coordinator's task needs in order to join again.
#[derive(Debug)]
pub(crate) struct Joined {
    target: Target,
    roster: Arc<Roster>,
    value: Mutex<MemberValue>,
    stay: watch::Sender<Stay>,
}

/// How it stands with us in the group.
#[derive(Clone, Debug)]
enum Stay {
    /// The latest entry; it may be lost, and followed by another one then.
    Entered(Arc<Hold>),
    /// Joining again has failed for good.
    Over(Error),
}

impl Membership {
    pub(crate) async fn join(target: &Target, value: Result<MemberValue>, if_taken: IfTaken) -> Result<Self> {
        let value = value?;
        let hold = enter(target, target.coordinator.live().await?, &value, if_taken).await?;
        let stay = watch::Sender::new(Stay::Entered(hold));
        let roster = target.roster()?.clone();
        let joined = Arc::new(Joined { target: target.clone(), roster, value: Mutex::new(value), stay });
        target.coordinator.shared().remember(&joined);
        Ok(Self { joined })
    }

    /// The group.
    pub fn group(&self) -> &Name {
        &self.joined.roster.name
    }

    /// Our member id.
    pub fn member(&self) -> &Name {
        self.coordinator().member()
    }

    /// Our incarnation; `None` from a loss until the coordinator has joined again.
    pub fn incarnation(&self) -> Option<Incarnation> {
        match &*self.joined.stay.borrow() {
            Stay::Entered(hold) if hold.is_held() => Some(Incarnation(hold.ticket().nonce)),
            _ => None,
        }
    }

    /// Waits until we are a member: at once if we are, else until the coordinator has joined again. Cancel safe.
    ///
    /// # Errors
    /// `MemberNotJoined` if that will not happen: somebody took our member id over, or the group is gone.
    pub async fn joined(&self) -> Result<Incarnation> {
        let mut stay = self.joined.stay.subscribe();
        loop {
            match &*stay.borrow_and_update() {
                Stay::Entered(hold) if hold.is_held() => return Ok(Incarnation(hold.ticket().nonce)),
                Stay::Entered(hold) if !hold.is_evicted() => {}
                _ => return Err(not_joined().with_operation("joined")),
            }
            if stay.changed().await.is_err() {
                return Err(not_joined().with_operation("joined"));
            }
        }
    }

    /// Waits until our present incarnation is over other than by our leaving, and returns why. Cancel safe.
    ///
    /// After a `SessionLost` the coordinator joins again; after a `NotHeld` (a take-over, an eviction) it does not.
    pub async fn lost(&self) -> Error {
        let stay = self.joined.stay.borrow().clone();
        match stay {
            Stay::Entered(hold) => hold.lost().await,
            Stay::Over(cause) => cause.clone(),
        }
    }

    /// Replaces what we tell others of ourselves. Our place and incarnation stay.
    ///
    /// # Errors
    /// `MemberNotJoined` if somebody took our member id over; `SessionLost`, `Unavailable`, or `InvalidOption` if the
    /// capabilities cannot be encoded.
    pub async fn update(&self, capabilities: impl Serialize) -> Result<()> {
        let value = self.joined.value().with_capabilities(capabilities);
        self.joined.target.run("update", self.joined.update(value)).await
    }

    /// Leaves the group, and says whether we were a member until then.
    ///
    /// Cancel safe: dropped half-way, leaving goes on in the background.
    ///
    /// # Errors
    /// `MemberNotJoined` if we were not; `SessionLost`, `Unavailable`.
    pub async fn leave(self) -> Result<()> {
        let leave = async { self.joined.hold()?.release().await.map_err(explain) };
        self.joined.target.run("leave", leave).await
    }

    /// The coordinator that we joined with.
    pub fn coordinator(&self) -> &Coordinator {
        &self.joined.target.coordinator
    }
}

impl Joined {
    fn hold(&self) -> Result<Arc<Hold>> {
        match &*self.stay.borrow() {
            Stay::Entered(hold) => Ok(hold.clone()),
            Stay::Over(cause) => Err(not_joined().with_source(cause.to_string())),
        }
    }

    async fn update(&self, value: Result<MemberValue>) -> Result<()> {
        let value = value?;
        self.hold()?.replace(&value.to_bytes()).await.map_err(explain)?;
        *self.value() = value;
        Ok(())
    }

    /// Joins again with a new session, over the incarnation of the old one, unless somebody else has taken it over.
    pub(crate) async fn rejoin(&self, live: Arc<Live>) {
        if self.hold().is_ok_and(|hold| hold.is_evicted()) {
            return;
        }
        let value = self.value().renewed();
        let outcome = enter(&self.target, live, &value, IfTaken::TakeOver).await;
        match outcome {
            Ok(hold) => {
                info!(group = %hold.roster().name, member = %self.target.coordinator.member(), "joined again");
                self.stay.send_replace(Stay::Entered(hold));
            }
            // The next session tries again.
            Err(error) if error.is_session_lost() => {}
            Err(error) => {
                warn!(member = %self.target.coordinator.member(), %error, "failed to join again");
                self.stay.send_replace(Stay::Over(error));
            }
        }
    }

    fn value(&self) -> std::sync::MutexGuard<'_, MemberValue> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn enter(target: &Target, live: Arc<Live>, value: &MemberValue, if_taken: IfTaken) -> Result<Arc<Hold>> {
    let coordinator = &target.coordinator;
    let (roster, value) = (target.roster()?, value.to_bytes());
    let request = Request {
        key: Key::Unique(coordinator.member().as_bytes(), if_taken),
        mode: Mode::Member,
        limit: NonZeroU32::MIN,
        if_blocked: IfBlocked::Wait,
        needs_declared: true,
        value: &value,
    };
    let hold = Hold::enter(coordinator, live, roster, request).await?;
    hold.map(Arc::new).ok_or_else(|| Error::new(ErrorKind::Unexpected, "the driver withdrew a member"))
}

fn not_joined() -> Error {
    Error::new(ErrorKind::MemberNotJoined, "we are not a member of the group")
}

/// In the words of groups.
fn explain(error: Error) -> Error {
    if error.is_not_held() { not_joined().with_source(error) } else { error }
}
