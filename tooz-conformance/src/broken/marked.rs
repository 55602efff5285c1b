//! Entries that a fault concerns, by their nonces. Sessions of different driver objects share them.

use std::collections::BTreeSet;
use std::sync::Mutex;

use tooz_core::driver::Nonce;
use tooz_core::driver::support::lock;

/// Entries whose waiters are never woken.
pub(super) static UNWOKEN: Marked = Marked::new();
/// Entries whose removal is not reported.
pub(super) static UNREPORTED: Marked = Marked::new();

pub(super) struct Marked(Mutex<BTreeSet<u128>>);

impl Marked {
    const fn new() -> Self {
        Self(Mutex::new(BTreeSet::new()))
    }

    pub(super) fn extend(&self, nonces: impl IntoIterator<Item = Nonce>) {
        lock(&self.0).extend(nonces.into_iter().map(|nonce| nonce.0));
    }

    pub(super) fn contains(&self, nonce: Nonce) -> bool {
        lock(&self.0).contains(&nonce.0)
    }
}
