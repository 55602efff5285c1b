//! The driver: its characteristics, and how it opens a session.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tooz_core::driver::support::lock;
use tooz_core::driver::{Driver, DriverEntry, DriverInfo, History, Session, SessionOptions};
use tooz_core::{Characteristic, Result, ServiceUrl};

use crate::config::Config;
use crate::session::PostgresSession;

/// PostgreSQL: one server, or a primary with standbys.
pub const DRIVER: DriverEntry = DriverEntry { name: "postgres", schemes: &["postgres", "postgresql"], open };

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

/// The server counts in microseconds, and adds a TTL to its clock.
const TTL_RANGE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(100 * 365 * 86_400));

fn open(url: &ServiceUrl) -> Result<Arc<dyn Driver>> {
    Ok(Arc::new(Postgres { config: Config::from_url(url)?, histories: Mutex::default() }))
}

#[derive(Debug)]
struct Postgres {
    config: Config,
    /// By namespace.
    histories: Mutex<HashMap<String, Arc<History>>>,
}

#[async_trait]
impl Driver for Postgres {
    fn info(&self) -> DriverInfo {
        DriverInfo::new(DRIVER.name, CHARACTERISTICS).with_topics().with_ttl_range(TTL_RANGE.0, TTL_RANGE.1)
    }

    async fn open(&self, options: &SessionOptions) -> Result<Box<dyn Session>> {
        let history = lock(&self.histories).entry(options.namespace.clone()).or_default().clone();
        Ok(Box::new(PostgresSession::open(&self.config, options, history).await?))
    }
}
