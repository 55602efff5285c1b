//! The driver: what it says of itself, and how it opens a session.

use std::sync::Arc;

use async_trait::async_trait;
use tooz_core::driver::{Driver, DriverEntry, DriverInfo, Session, SessionOptions};
use tooz_core::{Characteristic, Result, ServiceUrl};

use crate::config::{Config, Topology};
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

/// One server, whose word is final for as long as it keeps its data.
const SINGLE: &[Characteristic] = &[
    Characteristic::DistributedAcrossThreads,
    Characteristic::DistributedAcrossProcesses,
    Characteristic::DistributedAcrossHosts,
    Characteristic::Sequential,
    Characteristic::Causal,
    Characteristic::Serializable,
    Characteristic::SameViewAcrossClients,
];

/// A failover may lose what was confirmed, so nothing is said of order.
const REPLICATED: &[Characteristic] = &[
    Characteristic::DistributedAcrossThreads,
    Characteristic::DistributedAcrossProcesses,
    Characteristic::DistributedAcrossHosts,
];

fn open(url: &ServiceUrl) -> Result<Arc<dyn Driver>> {
    Ok(Arc::new(Redis { config: Config::from_url(url)? }))
}

#[derive(Debug)]
struct Redis {
    config: Config,
}

#[async_trait]
impl Driver for Redis {
    fn info(&self) -> DriverInfo {
        let characteristics = match self.config.topology {
            Topology::Single(..) | Topology::Unix(_) => SINGLE,
            Topology::Sentinel { .. } | Topology::Cluster(_) => REPLICATED,
        };
        DriverInfo::new(DRIVER.name, characteristics).with_topics().with_ttl(self.config.ttl)
    }

    async fn open(&self, options: &SessionOptions) -> Result<Box<dyn Session>> {
        Ok(Box::new(RedisSession::open(&self.config, options).await?))
    }
}
