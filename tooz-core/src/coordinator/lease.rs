//! Locks with a lease of their own: further sessions of one client, each with its TTL.

use std::sync::Arc;
use std::time::Duration;

use super::builder::check_durations;
use super::handle::Coordinator;
use crate::Result;
use crate::driver::SessionOptions;

impl Coordinator {
    /// Opens a further session of this client with another TTL, and returns a coordinator that uses it.
    ///
    /// What that coordinator holds has a lease of its own: after a crash, the backend grants its locks to other clients
    /// when this TTL has passed, even if the first session has a longer one. [`close`](Self::close) closes both. On a
    /// backend that notices a crash without a timeout, the TTL has no effect.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tooz_core::Error> {
    /// use std::time::Duration;
    ///
    /// let coordinator = tooz_core::connect("memory://lease-doc?ttl=30s").await?;
    /// let quick = coordinator.with_ttl(Duration::from_secs(3)).await?;
    /// let guard = quick.lock("failover").acquire().await?;
    /// assert!(guard.remaining() < Some(Duration::from_secs(3)));
    /// coordinator.close().await;
    /// assert!(!guard.is_held());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `InvalidOption` if the backend does not support the TTL; else as [`Builder::connect`](crate::Builder::connect).
    pub async fn with_ttl(&self, ttl: Duration) -> Result<Self> {
        self.open_lease(ttl).await.map_err(|error| error.with_operation("with_ttl"))
    }

    async fn open_lease(&self, ttl: Duration) -> Result<Self> {
        let parent = self.supervisor();
        let SessionOptions { namespace, member, timeout, max_value_size, .. } = parent.options().clone();
        check_durations(ttl, timeout, parent.info())?;
        let options = SessionOptions::new(namespace, member, ttl, timeout).with_max_value_size(max_value_size);
        let supervisor = parent.start_other(options).await?;
        self.add_lease(Arc::downgrade(&supervisor));
        Ok(Self::new(supervisor))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::memory::Server;
    use crate::{Builder, ErrorKind, SessionState};

    fn builder(member: &str, ttl: u64) -> Builder {
        Coordinator::builder("memory://lease").member(member).ttl(Duration::from_secs(ttl))
    }

    #[tokio::test(start_paused = true)]
    async fn a_lock_with_a_shorter_lease_is_free_earlier() -> Result<()> {
        let (a, b) = (builder("a", 30).connect().await?, builder("b", 30).connect().await?);
        let lease = a.with_ttl(Duration::from_secs(3)).await?;
        let (long, short) = (a.lock("long").acquire().await?, lease.lock("short").acquire().await?);
        let started = Instant::now();
        Server::named("lease").partition("a")?;
        let _next = b.lock("short").acquire().await?;
        assert!(!short.is_held() && long.is_held());
        assert!(started.elapsed() <= Duration::from_secs(3));
        let _next = b.lock("long").acquire().await?;
        assert!(!long.is_held());
        assert!(started.elapsed() > Duration::from_secs(20));
        Server::named("lease").heal();
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn closing_a_coordinator_closes_its_leases() -> Result<()> {
        let a = Coordinator::builder("memory://lease-close").connect().await?;
        let lease = a.with_ttl(Duration::from_secs(3)).await?;
        let guard = lease.lock("l").acquire().await?;
        a.close().await;
        assert!(!guard.is_held());
        assert_eq!((lease.state(), Server::named("lease-close").entry_count()), (SessionState::Closed, 0));
        let error = lease.with_ttl(Duration::ZERO).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOption, "{error}");
        sleep(Duration::from_secs(60)).await;
        Ok(())
    }
}
