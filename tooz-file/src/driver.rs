//! The driver: opens sessions, each a row in the database of its directory.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use rusqlite::params;
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tooz_core::driver::{Driver, DriverEntry, DriverInfo, Nonce, Session, SessionOptions};
use tooz_core::{Characteristic, Error, ErrorKind, Result, ServiceUrl, inventory};

use crate::config::Config;
use crate::core::Held;
use crate::engine::{Engine, Unheard};
use crate::error::too_slow;
use crate::roster::Caller;
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
        let (directory, limit) = (self.directory.clone(), options.timeout);
        let deadline = Instant::now() + limit.mul_f32(0.9);
        let starting = spawn_blocking(move || Engine::of(&directory, deadline));
        let started = timeout(limit, starting).await.map_err(|_| too_slow())?;
        let engine = started
            .map_err(|error| Error::new(ErrorKind::Unexpected, "failed to open the directory").with_source(error))??;
        Ok(Box::new(add_session(engine, options).await?))
    }
}

async fn add_session(engine: Arc<Engine>, options: &SessionOptions) -> Result<FileSession> {
    let (namespace, member, limit) = (Arc::from(options.namespace.as_str()), options.member.clone(), options.timeout);
    let theirs = engine.clone();
    let caller = Caller { session: random_id(), namespace };
    let added = engine.queue(limit, Unheard::Skip, move |core| {
        let (losses, receiver) = mpsc::unbounded_channel();
        core.write(|work| {
            let mut insert = work.db.prepare_cached("INSERT INTO sessions VALUES (?1, ?2, ?3, ?4)")?;
            insert.execute(params![caller.session, work.me, caller.namespace, member.as_bytes()])?;
            Ok(())
        })?;
        let over = Arc::new(Notify::new());
        core.sessions.insert(caller.session, Held::new(losses, over.clone()));
        // Made here, so that a caller that has given up drops it, which ends the session.
        let (engine, caller, losses) = (theirs.clone(), caller.clone(), Mutex::new(receiver));
        Ok(FileSession { engine, caller, timeout: limit, losses, over })
    });
    added.await
}

/// A positive number that no other process will choose.
pub(crate) fn random_id() -> i64 {
    (Nonce::random().0 as i64) & i64::MAX
}
