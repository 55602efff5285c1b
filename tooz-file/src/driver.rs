//! The driver: opens sessions on the directory of its URL.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tooz_core::driver::{Driver, DriverEntry, DriverInfo, Session, SessionOptions};
use tooz_core::{Characteristic, Result, ServiceUrl, inventory};

use crate::config::Config;
use crate::session::FileSession;

/// `file:///directory`
pub const DRIVER: DriverEntry = DriverEntry { name: "file", schemes: &["file"], open };

inventory::submit! { DRIVER }

/// What the conformance suite has shown.
const CHARACTERISTICS: &[Characteristic] = &[
    Characteristic::NonTimeoutBased,
    Characteristic::DistributedAcrossThreads,
    Characteristic::DistributedAcrossProcesses,
    Characteristic::Linearizable,
    Characteristic::Sequential,
    Characteristic::Causal,
    Characteristic::Serializable,
    Characteristic::SameViewUnderPartitions,
    Characteristic::SameViewAcrossClients,
];

fn open(url: &ServiceUrl) -> Result<Arc<dyn Driver>> {
    let Config { directory } = Config::from_url(url)?;
    Ok(Arc::new(File { directory }))
}

#[derive(Debug)]
struct File {
    directory: PathBuf,
}

#[async_trait]
impl Driver for File {
    fn info(&self) -> DriverInfo {
        DriverInfo::new(DRIVER.name, CHARACTERISTICS).with_topics()
    }

    async fn open(&self, options: &SessionOptions) -> Result<Box<dyn Session>> {
        Ok(Box::new(FileSession::open(self.directory.clone(), options).await?))
    }
}
