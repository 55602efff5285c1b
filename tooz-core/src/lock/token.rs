//! The fencing token of a grant.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::driver::Seq;

/// A number that rises with every grant of one lock, semaphore or election and never restarts.
///
/// Send the token with every write to the resource that the lock protects. Let the resource refuse a write whose token is
/// smaller than one it has seen. That stops even a holder that was paused beyond its deadline between the check of its
/// guard and the write. The technique is from Martin Kleppmann, "How to do distributed locking", 2016.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FencingToken(pub u64);

impl From<Seq> for FencingToken {
    fn from(seq: Seq) -> Self {
        Self(seq.0)
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
