//! Opens sessions: the driver behind a URL.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;
use tooz_core::driver::{Driver, DriverEntry, DriverInfo, Session, SessionOptions};
use tooz_core::{Characteristic, Result, ServiceUrl, inventory};

use crate::client::{Client, Target};
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
    Ok(Arc::new(ZooKeeper { config: Config::from_url(url)? }))
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
        let target = Target { config: self.config.clone(), ttl: options.ttl, timeout: options.timeout };
        let began = Instant::now();
        let client = Client::connect(&target).await?;
        Ok(Box::new(ZooKeeperSession::start(client, began, &self.config.chroot, options).await?))
    }
}
