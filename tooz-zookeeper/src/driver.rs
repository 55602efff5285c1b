//! The driver behind a URL: it opens sessions.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tooz_core::driver::support::built_without_tls;
use tooz_core::driver::{Driver, DriverEntry, DriverInfo, Session, SessionOptions};
use tooz_core::{Characteristic, Error, ErrorKind, Result, ServiceUrl, inventory};

use crate::client::{GREATEST_TTL, SUPPORTS_TLS};
use crate::config::{ClientCrate, Config};
use crate::error::Fault;
use crate::history::History;
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
    let config = Config::from_url(url)?;
    match config.client {
        ClientCrate::ZookeeperClient if !SUPPORTS_TLS && config.tls.is_some() => {
            Err(built_without_tls("tooz-zookeeper"))
        }
        ClientCrate::ZookeeperClient if !SUPPORTS_TLS => Err(Error::new(
            ErrorKind::Unsupported,
            "option \"client\" names zookeeper-client, which needs the cargo feature `tls` of tooz-zookeeper",
        )),
        _ => Ok(Arc::new(ZooKeeper { config, history: Arc::default() })),
    }
}

#[derive(Debug)]
struct ZooKeeper {
    config: Config,
    history: Arc<History>,
}

#[async_trait]
impl Driver for ZooKeeper {
    fn info(&self) -> DriverInfo {
        DriverInfo::new(DRIVER.name, CHARACTERISTICS)
            .with_topics()
            .with_ttl_range(Duration::from_millis(1), GREATEST_TTL)
    }

    async fn open(&self, options: &SessionOptions) -> Result<Box<dyn Session>> {
        Ok(Box::new(ZooKeeperSession::open(&self.config, &self.history, options).await.map_err(Fault::into_error)?))
    }
}
