//! The gate: what keeps a request that was given up from taking effect later.
//!
//! A frozen member may carry a request out when it wakes, minutes after its caller has repeated it elsewhere and has
//! undone it since. So every transaction that could harm then compares the mod revision of the session's key, and
//! before the first such transaction after one of unknown outcome that key is written anew: what was sent before either
//! has taken effect by then or never will. A withdrawal does the same for the `enter` that it withdraws.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};

use etcd_client::{Compare, CompareOp, GetOptions, Txn, TxnOp, TxnResponse};
use tokio::sync::Mutex;
use tooz_core::Result;

use crate::error::session_lost;
use crate::session::{EtcdSession, gets, revision_of};

/// The revision to compare, and how many requests of unknown outcome there were.
#[derive(Debug)]
pub(crate) struct Gate {
    revision: AtomicI64,
    doubts: AtomicU64,
    settled: AtomicU64,
    settling: Mutex<()>,
}

impl Gate {
    pub(crate) fn new(revision: i64) -> Self {
        let (doubts, settled) = Default::default();
        Self { revision: AtomicI64::new(revision), doubts, settled, settling: Mutex::default() }
    }

    pub(crate) fn revision(&self) -> i64 {
        self.revision.load(SeqCst)
    }

    /// The session's key was seen with this mod revision.
    pub(crate) fn seen(&self, revision: i64) {
        self.revision.fetch_max(revision, SeqCst);
    }

    /// Held while a request is under way; one that is not dispelled leaves a doubt.
    pub(crate) fn doubt(&self) -> Doubt<'_> {
        Doubt { gate: self, dispelled: false }
    }
}

/// Doubt about the outcome of a request.
#[derive(Debug)]
pub(crate) struct Doubt<'a> {
    gate: &'a Gate,
    dispelled: bool,
}

impl Doubt<'_> {
    /// Passes the outcome on; a definite one dispels the doubt.
    pub(crate) fn after<T>(mut self, outcome: Result<T>) -> Result<T> {
        self.dispelled = !matches!(&outcome, Err(error) if error.is_retryable());
        outcome
    }
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if !self.dispelled {
            self.gate.doubts.fetch_add(1, SeqCst);
        }
    }
}

impl EtcdSession {
    /// Returns when nothing that was sent before and given up can take effect any more. Free if nothing was.
    pub(crate) async fn settle_doubts(&self) -> Result<()> {
        if self.gate.settled.load(SeqCst) == self.gate.doubts.load(SeqCst) {
            return Ok(());
        }
        let _alone = self.gate.settling.lock().await;
        match self.gate.settled.load(SeqCst) == self.gate.doubts.load(SeqCst) {
            true => Ok(()),
            false => self.raise_gate(Vec::new()).await,
        }
    }

    /// Writes the session's key anew, together with `operations`.
    pub(crate) async fn raise_gate(&self, mut operations: Vec<TxnOp>) -> Result<()> {
        let doubts = self.gate.doubts.load(SeqCst);
        operations.push(TxnOp::put(self.session_key.clone(), self.session_value(), self.bound()));
        let lives = Compare::create_revision(self.session_key.clone(), CompareOp::Greater, 0);
        let answer = self.client.txn(Txn::new().when([lives]).and_then(operations)).await?;
        if !answer.succeeded() {
            return Err(session_lost());
        }
        self.gate.seen(revision_of(&answer)?);
        self.gate.settled.fetch_max(doubts, SeqCst);
        Ok(())
    }

    /// True while nothing was given up since the gate was last seen.
    pub(crate) fn gate_stands(&self) -> Compare {
        Compare::mod_revision(self.session_key.clone(), CompareOp::Equal, self.gate.revision())
    }

    /// Runs a transaction behind the gate. If it does not succeed, a look at the session's key comes before `otherwise`.
    pub(crate) async fn gated_txn(
        &self,
        compares: Vec<Compare>,
        operations: Vec<TxnOp>,
        otherwise: Vec<TxnOp>,
    ) -> Result<TxnResponse> {
        self.settle_doubts().await?;
        let doubt = self.gate.doubt();
        doubt.after(self.pass_gate(compares, operations, otherwise).await)
    }

    async fn pass_gate(
        &self,
        mut compares: Vec<Compare>,
        operations: Vec<TxnOp>,
        mut otherwise: Vec<TxnOp>,
    ) -> Result<TxnResponse> {
        otherwise.insert(0, TxnOp::get(self.session_key.clone(), Some(GetOptions::new().with_keys_only())));
        loop {
            let compared = self.gate.revision();
            compares.push(self.gate_stands());
            let txn = Txn::new().when(compares.clone()).and_then(operations.clone()).or_else(otherwise.clone());
            let answer = self.client.txn(txn).await?;
            if answer.succeeded() {
                return Ok(answer);
            }
            let session = gets(&answer).next().and_then(|mut found| found.pop()).ok_or_else(session_lost)?;
            if session.mod_revision() <= compared {
                return Ok(answer);
            }
            // A withdrawal came in between, so this attempt did nothing.
            self.gate.seen(session.mod_revision());
            compares.pop();
        }
    }
}
