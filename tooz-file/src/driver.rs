//! The driver: opens sessions, each a row in the database of its directory.

use std::path::PathBuf;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use rusqlite::params;
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::timeout;
use tooz_core::driver::{Driver, DriverEntry, DriverInfo, Session, SessionOptions};
use tooz_core::{Characteristic, Error, ErrorKind, Result, ServiceUrl, inventory};

use crate::config::Config;
use crate::db::busy;
use crate::error::timeout_error;
use crate::process::executor::Executor;
use crate::process::instances;
use crate::process::join::random_id;
use crate::process::local_session::LocalSession;
use crate::process::state::{Durability, State};
use crate::roster::Caller;
use crate::session::{FileSession, end_in_background};

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
        let deadline = busy::deadline(limit);
        let starting = spawn_blocking(move || instances::executor_of(&directory, deadline));
        let started = timeout(limit, starting).await.map_err(|_| timeout_error())?;
        let executor = started
            .map_err(|error| Error::new(ErrorKind::Unexpected, "failed to open the directory").with_source(error))??;
        Ok(Box::new(add_session(executor, options).await?))
    }
}

async fn add_session(executor: Arc<Executor>, options: &SessionOptions) -> Result<FileSession> {
    let caller = Caller { session: random_id(), namespace: Arc::from(options.namespace.as_str()) };
    let (losses, receiver) = mpsc::unbounded_channel();
    let over = Arc::new(Notify::new());
    // Made first, so that a caller that has given up drops it, which ends the session.
    let session = FileSession {
        executor: executor.clone(),
        caller: caller.clone(),
        timeout: options.timeout,
        losses: Mutex::new(receiver),
        over: over.clone(),
        runtime_guard: end_with_runtime(&executor, caller.session),
    };
    let member = options.member.clone();
    let add = move |state: &mut State| {
        state.write(Durability::Process, |tx| {
            let mut insert = tx.db.prepare_cached("INSERT INTO sessions VALUES (?1, ?2, ?3, ?4)")?;
            insert.execute(params![caller.session, tx.me, caller.namespace, member.as_bytes()])?;
            Ok(())
        })?;
        state.sessions.insert(caller.session, LocalSession::new(losses.clone(), over.clone()));
        Ok(())
    };
    executor.queue(options.timeout, add).await?;
    Ok(session)
}

/// Ends a session when the runtime that opened it ends, since no task renews or releases anything after that.
fn end_with_runtime(executor: &Arc<Executor>, session: i64) -> AbortHandle {
    let end = EndSession { executor: Arc::downgrade(executor), session };
    tokio::spawn(async move {
        let _end = end;
        std::future::pending::<()>().await;
    })
    .abort_handle()
}

/// Ends a session when it is dropped.
struct EndSession {
    executor: Weak<Executor>,
    session: i64,
}

impl Drop for EndSession {
    fn drop(&mut self) {
        if let Some(executor) = self.executor.upgrade() {
            end_in_background(&executor, self.session);
        }
    }
}
