//! The driver behind a URL: it opens sessions.

use std::sync::Arc;

use async_trait::async_trait;
use tooz_core::driver::{Driver, DriverEntry, DriverInfo, Session, SessionOptions};
use tooz_core::{Characteristic, Result, ServiceUrl, inventory};

use crate::client::SUPPORTS_TLS;
use crate::config::Config;
use crate::session::ZooKeeperSession;

/// `zookeeper://user:password@host:2181,host:2181/chroot`, also as `zk://` and `kazoo://`.
pub const DRIVER: DriverEntry = DriverEntry { name: "zookeeper", schemes: &["zookeeper", "zk", "kazoo"], open };

inventory::submit! { DRIVER }

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
];

fn open(url: &ServiceUrl) -> Result<Arc<dyn Driver>> {
    Ok(Arc::new(ZooKeeper { config: Config::from_url(url, SUPPORTS_TLS)? }))
}

#[derive(Debug)]
struct ZooKeeper {
    config: Config,
}

#[async_trait]
impl Driver for ZooKeeper {
    fn info(&self) -> DriverInfo {
        DriverInfo::new(DRIVER.name, CHARACTERISTICS).with_topics()
    }

    async fn open(&self, options: &SessionOptions) -> Result<Box<dyn Session>> {
        Ok(Box::new(ZooKeeperSession::open(&self.config, options).await?))
    }
}
