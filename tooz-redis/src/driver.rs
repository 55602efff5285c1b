//! The driver: its characteristics, and how it opens a session.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tooz_core::driver::support::{built_without_tls, lock};
use tooz_core::driver::{Driver, DriverEntry, DriverInfo, Session, SessionOptions};
use tooz_core::{Characteristic, Result, ServiceUrl};

use crate::client::SUPPORTS_TLS;
use crate::config::{Config, Topology};
use crate::history::History;
use crate::session::RedisSession;

/// Redis and Valkey. A scheme with a second `s` means TLS.
pub const DRIVER: DriverEntry = DriverEntry {
    name: "redis",
    schemes: &[
        "redis",
        "rediss",
        "redis-sentinel",
        "rediss-sentinel",
        "redis-cluster",
        "rediss-cluster",
        "valkey",
        "valkeys",
        "valkey-sentinel",
        "valkeys-sentinel",
        "valkey-cluster",
        "valkeys-cluster",
    ],
    open,
};

/// One server. It decides alone, for as long as it keeps its data.
const SINGLE: &[Characteristic] = &[
    Characteristic::DistributedAcrossThreads,
    Characteristic::DistributedAcrossProcesses,
    Characteristic::DistributedAcrossHosts,
    Characteristic::Sequential,
    Characteristic::Causal,
    Characteristic::Serializable,
    Characteristic::SameViewAcrossClients,
];

/// A failover may lose confirmed writes, so the driver claims nothing about order.
const REPLICATED: &[Characteristic] = &[
    Characteristic::DistributedAcrossThreads,
    Characteristic::DistributedAcrossProcesses,
    Characteristic::DistributedAcrossHosts,
];

/// The server counts in milliseconds, and adds a TTL to its clock.
const TTL_RANGE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(100 * 365 * 86_400));

fn open(url: &ServiceUrl) -> Result<Arc<dyn Driver>> {
    let config = Config::from_url(url)?;
    if config.tls.is_some() && !SUPPORTS_TLS {
        return Err(built_without_tls("tooz-redis"));
    }
    Ok(Arc::new(Redis { config: Arc::new(config), histories: Mutex::default() }))
}

#[derive(Debug)]
struct Redis {
    config: Arc<Config>,
    /// By namespace, one for each shard.
    histories: Mutex<HashMap<String, Vec<Arc<History>>>>,
}

#[async_trait]
impl Driver for Redis {
    fn info(&self) -> DriverInfo {
        let characteristics = match self.config.topology {
            Topology::Single(..) | Topology::Unix(_) => SINGLE,
            Topology::Sentinel { .. } | Topology::Cluster(_) => REPLICATED,
        };
        let (least, greatest) = TTL_RANGE;
        let info = DriverInfo::new(DRIVER.name, characteristics).with_topics().with_ttl(self.config.ttl);
        info.with_ttl_range(least, greatest)
    }

    async fn open(&self, options: &SessionOptions) -> Result<Box<dyn Session>> {
        let new = || (0..self.config.shards).map(|_| Arc::default()).collect();
        let histories = lock(&self.histories).entry(options.namespace.clone()).or_insert_with(new).clone();
        Ok(Box::new(RedisSession::open(&self.config, options, histories).await?))
    }
}
