//! Several locks at once: all or nothing, under one guard.
//!
//! The locks are acquired one after the other in the byte order of their names. Clients that take several locks in the
//! same order cannot wait for each other in a circle (E. W. Dijkstra, "Hierarchical ordering of sequential processes",
//! 1971).

use std::time::Duration;

use futures_util::future::{join_all, select_all, try_join_all};
use tokio::time::timeout;

use super::guard::Guard;
use super::lock::Lock;
use super::token::FencingToken;
use crate::coordinator::Coordinator;
use crate::driver::IfBlocked;
use crate::{Error, ErrorKind, Result};

impl Coordinator {
    /// All locks with these names, to be acquired together. A name that occurs twice counts once. Sends nothing.
    #[must_use]
    pub fn lock_all<N: AsRef<[u8]>>(&self, names: impl IntoIterator<Item = N>) -> LockSet {
        let mut names: Vec<_> = names.into_iter().map(|name| name.as_ref().to_vec()).collect();
        names.sort_unstable();
        names.dedup();
        LockSet { locks: names.iter().map(|name| self.lock(name)).collect() }
    }
}

/// Several locks that are acquired together; see [`Coordinator::lock_all`].
///
/// While a client waits for one of the locks, it already holds those before it in byte order.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tooz_core::Error> {
/// # let coordinator = tooz_core::connect("memory://lock-all-doc").await?;
/// let accounts = coordinator.lock_all(["account/7", "account/3"]);
/// let guard = accounts.acquire().await?;
/// assert!(coordinator.lock("account/3").try_acquire().await?.is_none());
/// guard.release().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct LockSet {
    locks: Vec<Lock>,
}

impl LockSet {
    /// The same locks; their entries show `info` to others. See [`Lock::with_info`].
    #[must_use]
    pub fn with_info(&self, info: impl AsRef<[u8]>) -> Self {
        Self { locks: self.locks.iter().map(|lock| lock.with_info(info.as_ref())).collect() }
    }

    /// The same locks, each held for `time` at most after its own grant. See [`Lock::with_greatest_hold`].
    #[must_use]
    pub fn with_greatest_hold(&self, time: Duration) -> Self {
        Self { locks: self.locks.iter().map(|lock| lock.with_greatest_hold(time)).collect() }
    }

    /// Waits for all locks, for as long as it takes.
    ///
    /// Cancel safe: if you drop the future, or if it fails, no lock stays acquired.
    ///
    /// # Errors
    /// As [`Lock::acquire`]. The call also fails if an acquired lock is lost while it waits for a further one.
    pub async fn acquire(&self) -> Result<GuardSet> {
        let guards = self.enter(IfBlocked::Wait).await?;
        guards.ok_or_else(|| Error::new(ErrorKind::Unexpected, "a lock that was to be awaited was not acquired"))
    }

    /// Acquires all locks if they are free at this moment. Otherwise returns `None` and leaves nothing behind.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    pub async fn try_acquire(&self) -> Result<Option<GuardSet>> {
        self.enter(IfBlocked::Withdraw).await
    }

    /// Waits for all locks together at most for `limit`. A limit of zero means one attempt. Cancel safe.
    ///
    /// # Errors
    /// `Timeout` if not all locks were granted in time; else as [`acquire`](Self::acquire).
    pub async fn acquire_timeout(&self, limit: Duration) -> Result<GuardSet> {
        let outcome = match limit.is_zero() {
            true => self.try_acquire().await.transpose(),
            false => timeout(limit, self.acquire()).await.ok(),
        };
        outcome.unwrap_or_else(|| {
            let error = Error::new(ErrorKind::Timeout, format!("not all locks were granted within {limit:?}"));
            Err(error.with_operation("acquire_timeout").with_context("locks", self.locks.len()))
        })
    }

    async fn enter(&self, if_blocked: IfBlocked) -> Result<Option<GuardSet>> {
        let mut held = GuardSet { guards: Vec::with_capacity(self.locks.len()) };
        for lock in &self.locks {
            let entering = async {
                match if_blocked {
                    IfBlocked::Wait => lock.acquire().await.map(Some),
                    IfBlocked::Withdraw => lock.try_acquire().await,
                }
            };
            match held.run(entering).await? {
                Some(guard) => held.guards.push(guard),
                None => {
                    held.release().await?;
                    return Ok(None);
                }
            }
        }
        Ok(Some(held))
    }
}

/// All locks of a [`LockSet`], held together. Dropping it releases all of them in the background.
///
/// It is lost as soon as one of its locks is lost.
#[derive(Debug)]
#[must_use = "dropping a guard releases what it holds"]
pub struct GuardSet {
    guards: Vec<Guard>,
}

impl GuardSet {
    /// The guards of the locks, in the byte order of their names.
    pub fn guards(&self) -> &[Guard] {
        &self.guards
    }

    /// The fencing token of the lock with this name; `None` if the set does not contain it.
    pub fn fencing_token(&self, name: impl AsRef<[u8]>) -> Option<FencingToken> {
        self.guards.iter().find(|guard| guard.name().as_bytes() == name.as_ref()).map(Guard::fencing_token)
    }

    /// Whether you may rely on all locks at this moment. Sends nothing.
    pub fn is_held(&self) -> bool {
        self.guards.iter().all(Guard::is_held)
    }

    /// For how long you may rely on all locks if no further renewal succeeds; see [`Guard::remaining`].
    pub fn remaining(&self) -> Option<Duration> {
        self.guards.iter().filter_map(Guard::remaining).min()
    }

    /// Waits until one of the locks is lost and returns the cause. Cancel safe.
    pub async fn lost(&self) -> Error {
        if self.guards.is_empty() {
            return std::future::pending().await;
        }
        let losses = self.guards.iter().map(|guard| Box::pin(guard.lost()));
        select_all(losses).await.0
    }

    /// Runs `work` and returns its result. If one of the locks is lost first, drops `work` and returns the loss.
    ///
    /// # Errors
    /// As [`Guard::run`].
    pub async fn run<T, E: From<Error>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        tokio::select! {
            biased;
            cause = self.lost() => Err(cause.with_operation("run").into()),
            result = work => result,
        }
    }

    /// Asks the backend whether it still has the entries of all locks.
    ///
    /// # Errors
    /// As [`Guard::verify`].
    pub async fn verify(&self) -> Result<()> {
        try_join_all(self.guards.iter().map(Guard::verify)).await.map(drop)
    }

    /// Releases all locks. Success means that all were held until now. Cancel safe: if you drop the future, the releases
    /// continue in the background.
    ///
    /// # Errors
    /// As [`Guard::release`], for the first lock that has one. The other locks are released.
    pub async fn release(self) -> Result<()> {
        join_all(self.guards.into_iter().map(Guard::release)).await.into_iter().collect()
    }
}
