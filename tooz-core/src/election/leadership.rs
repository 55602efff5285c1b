//! The leadership of one term, as its holder has it and as others see it.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

use crate::lock::{FencingToken, Guard, Participant};
use crate::{Name, Result};

/// The leadership of one term. Dropping it resigns in the background.
///
/// It dereferences to its [`Guard`]: like a lock it can be lost, and [`run`](Guard::run) cancels work at the loss.
#[derive(Debug)]
#[must_use = "dropping a leadership resigns"]
pub struct Leadership {
    guard: Guard,
}

impl Leadership {
    pub(super) fn new(guard: Guard) -> Self {
        Self { guard }
    }

    /// The term, which is the fencing token. It is greater than every earlier term.
    pub fn term(&self) -> FencingToken {
        self.guard.fencing_token()
    }

    /// Resigns. Success means that the leadership was held until now.
    ///
    /// Cancel safe: if you drop the future, resigning continues in the background.
    ///
    /// # Errors
    /// As [`Guard::release`].
    pub async fn resign(self) -> Result<()> {
        self.resign_shared().await
    }

    /// As [`resign`](Self::resign), while others may still have a reference. For them the leadership is lost.
    pub(crate) async fn resign_shared(&self) -> Result<()> {
        self.guard.release_shared().await.map_err(|error| error.with_operation("resign"))
    }
}

impl Deref for Leadership {
    type Target = Guard;

    fn deref(&self) -> &Guard {
        &self.guard
    }
}

/// The leader of one term.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Leader {
    /// The member id of the leader.
    pub member: Name,
    /// The term.
    pub term: FencingToken,
}

impl From<Participant> for Leader {
    fn from(holder: Participant) -> Self {
        Self { member: holder.member, term: holder.token }
    }
}
