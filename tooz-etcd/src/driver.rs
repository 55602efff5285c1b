//! The driver: its URL schemes and its claims.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tooz_core::driver::support::built_without_tls;
use tooz_core::driver::{Driver, DriverEntry, DriverInfo, Session, SessionOptions};
use tooz_core::{Characteristic, Result, ServiceUrl};

use crate::client::{History, SUPPORTS_TLS};
use crate::config::Config;
use crate::session::EtcdSession;

/// `etcd://host:2379`, `etcds://host:2379` with TLS, and the same as Python's tooz writes it.
pub const DRIVER: DriverEntry =
    DriverEntry { name: "etcd", schemes: &["etcd", "etcds", "etcd3+http", "etcd3+https"], open };

tooz_core::inventory::submit! { DRIVER }

/// etcd rounds a TTL up to whole seconds, and to the least one that its election timeout allows.
const LEAST_TTL: Duration = Duration::from_millis(1);
const GREATEST_TTL: Duration = Duration::from_secs(9_000_000_000);

/// What the conformance suite has shown.
const CHARACTERISTICS: &[Characteristic] = &[
    Characteristic::DistributedAcrossThreads,
    Characteristic::DistributedAcrossProcesses,
    Characteristic::DistributedAcrossHosts,
    Characteristic::Linearizable,
    Characteristic::Sequential,
    Characteristic::Causal,
    Characteristic::Serializable,
    Characteristic::SameViewUnderPartitions,
    Characteristic::SameViewAcrossClients,
];

fn open(url: &ServiceUrl) -> Result<Arc<dyn Driver>> {
    let config = Config::new(url)?;
    if config.tls.is_some() && !SUPPORTS_TLS {
        return Err(built_without_tls("tooz-etcd"));
    }
    Ok(Arc::new(Etcd { config, history: Arc::default() }))
}

#[derive(Debug)]
struct Etcd {
    config: Config,
    history: Arc<History>,
}

#[async_trait]
impl Driver for Etcd {
    /// Not `NonTimeoutBased`, as Python's tooz claims: a lease is a timeout.
    fn info(&self) -> DriverInfo {
        let info = DriverInfo::new(DRIVER.name, CHARACTERISTICS).with_topics().with_ttl(self.config.ttl);
        info.with_ttl_range(LEAST_TTL, GREATEST_TTL)
    }

    async fn open(&self, options: &SessionOptions) -> Result<Box<dyn Session>> {
        Ok(Box::new(EtcdSession::open(&self.config, self.history.clone(), options).await?))
    }
}
