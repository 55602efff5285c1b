//! The fence: it keeps a request that was given up from taking effect later.
//!
//! - A frozen member may carry out a request when it wakes, minutes after the driver has repeated it elsewhere and the
//!   caller has undone it since.
//! - So every transaction that could do harm then compares the mod revision of the session's key.
//! - Before the first such transaction after a request of unknown outcome, the driver writes that key anew: what it sent
//!   before has either taken effect by then or never will. A withdrawal does the same for the `enter` that it withdraws.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use tooz_core::Result;
use tooz_core::driver::Nonce;
use tooz_core::driver::support::{Tombstones, lock, session_lost, withdrawn};

use crate::client::{Answer, Client, Compare, Txn, TxnOp, exists, get_key, rewrite, unmodified_since};

/// How many withdrawn nonces a session remembers, more than the requests that it has under way.
const MAX_TOMBSTONES: usize = 4096;

/// The session's key, its revision, and the number of requests of unknown outcome.
#[derive(Debug)]
pub(crate) struct Fence {
    client: Arc<Client>,
    /// The session's key, whose value is the member's name. When the lease ends, the key is gone.
    pub(crate) key: Vec<u8>,
    revision: AtomicI64,
    in_doubt: AtomicU64,
    resolved: AtomicU64,
    resolving: tokio::sync::Mutex<()>,
    withdrawn: Mutex<Tombstones>,
}

impl Fence {
    /// The fence of a session whose key was written at `revision`.
    pub(crate) fn new(client: Arc<Client>, key: Vec<u8>, revision: i64) -> Self {
        let (in_doubt, resolved, resolving) = Default::default();
        let (revision, withdrawn) = (AtomicI64::new(revision), Mutex::new(Tombstones::new(MAX_TOMBSTONES)));
        Self { client, key, revision, in_doubt, resolved, resolving, withdrawn }
    }

    /// True while the session lives.
    pub(crate) fn session_exists(&self) -> Compare {
        exists(&self.key)
    }

    /// Reads the session's key, for [`session_lives`](Self::session_lives).
    pub(crate) fn read(&self) -> TxnOp {
        get_key(&self.key)
    }

    /// Takes the result of [`read`](Self::read), the next one of `answer`, and returns the revision of the session's key.
    ///
    /// # Errors
    /// `SessionLost` if the session's key is gone.
    pub(crate) fn session_lives(&self, answer: &mut Answer) -> Result<i64> {
        let revision = answer.next_read()?.pop().ok_or_else(session_lost)?.mod_revision();
        self.revision.fetch_max(revision, SeqCst);
        Ok(revision)
    }

    /// Fails if the session is over.
    pub(crate) async fn check_session(&self) -> Result<()> {
        let mut answer = self.client.txn(Txn::new().and_then([self.read()])).await?;
        self.session_lives(&mut answer).map(drop)
    }

    /// Runs a transaction behind the fence: before it, no request that was given up earlier can take effect any more. If a
    /// comparison fails, the answer contains the reads `otherwise`. A transaction for an entry names its nonce.
    ///
    /// # Errors
    /// `NotHeld` if the nonce was withdrawn, `SessionLost` if the session is over.
    pub(crate) async fn txn(
        &self,
        nonce: Option<Nonce>,
        compares: &[Compare],
        operations: &[TxnOp],
        otherwise: &[TxnOp],
    ) -> Result<Answer> {
        self.resolve_in_doubt().await?;
        let mut in_doubt = InDoubt { fence: self, definite: false };
        let attempts = async {
            loop {
                if nonce.is_some_and(|nonce| lock(&self.withdrawn).contains(nonce)) {
                    return Err(withdrawn());
                }
                let revision = self.revision.load(SeqCst);
                let compares = [&[unmodified_since(&self.key, revision)][..], compares].concat();
                let txn = Txn::new().when(compares).and_then(operations);
                let mut answer = self.client.txn(txn.or_else([&[self.read()][..], otherwise].concat())).await?;
                // A withdrawal that came in between raised the fence, so this attempt did nothing and is repeated.
                if answer.succeeded || self.session_lives(&mut answer)? <= revision {
                    return Ok(answer);
                }
            }
        };
        let outcome = attempts.await;
        in_doubt.definite = !matches!(&outcome, Err(error) if error.is_retryable());
        outcome
    }

    async fn resolve_in_doubt(&self) -> Result<()> {
        let is_resolved = || self.resolved.load(SeqCst) == self.in_doubt.load(SeqCst);
        if is_resolved() {
            return Ok(());
        }
        let _alone = self.resolving.lock().await;
        if is_resolved() { Ok(()) } else { self.raise(Vec::new()).await }
    }

    /// Excludes the nonce: no transaction with it takes effect from now on. Carries out `operations` in the same step.
    pub(crate) async fn withdraw(&self, nonce: Nonce, operations: Vec<TxnOp>) -> Result<()> {
        lock(&self.withdrawn).insert(nonce);
        self.raise(operations).await
    }

    /// Writes the session's key anew, together with `operations`.
    async fn raise(&self, mut operations: Vec<TxnOp>) -> Result<()> {
        let in_doubt = self.in_doubt.load(SeqCst);
        operations.push(rewrite(&self.key));
        let txn = Txn::new().when([self.session_exists()]).and_then(operations);
        let answer = self.client.txn(txn).await?;
        if !answer.succeeded {
            return Err(session_lost());
        }
        self.revision.fetch_max(answer.revision, SeqCst);
        self.resolved.fetch_max(in_doubt, SeqCst);
        Ok(())
    }
}

/// Counts a transaction as given up when it ends without a definite outcome, which is success or a final error.
struct InDoubt<'a> {
    fence: &'a Fence,
    definite: bool,
}

impl Drop for InDoubt<'_> {
    fn drop(&mut self) {
        if !self.definite {
            self.fence.in_doubt.fetch_add(1, SeqCst);
        }
    }
}
