//! Compares the driver with raw SQLite transactions, and with a blocking file lock.
//!
//! The pair of the floor writes what the driver must write: it adds a row and removes it, in two transactions of one
//! connection. When its append returns, the row is on disk, as a message is.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Connection;
use rustix::fs::{FlockOperation, flock};
use tooz_conformance::bench::{self, Floor, Targets};
use tooz_conformance::{Failure, Harness, Target};

fn main() -> ExitCode {
    let url = |directory: &std::path::Path| format!("file://{}", directory.display());
    let harness = Harness::in_directory("file", tooz_file::DRIVER, url);
    bench::main(harness, |target| async move { Raw::open(&target) })
}

struct Raw {
    directory: PathBuf,
    locks: Arc<Mutex<Connection>>,
    log: Arc<Mutex<Connection>>,
    armed: Mutex<HashMap<u64, File>>,
}

impl Raw {
    fn open(target: &Target) -> Result<Self, Failure> {
        let url = target.url().trim_start_matches("file://").split('?').next().unwrap_or_default().to_owned();
        let directory = PathBuf::from(url).join(format!("floor-{}", target.namespace()));
        fs::create_dir_all(&directory)?;
        // The switch to WAL fails at once while another process is switching.
        let opening = File::create(directory.join("opening"))?;
        flock(&opening, FlockOperation::LockExclusive)?;
        let table = |name: &str, synchronous: &str| {
            let db = Connection::open(directory.join(format!("{name}.db")))?;
            db.busy_timeout(Duration::from_secs(5))?;
            db.pragma_update(None, "journal_mode", "WAL")?;
            db.pragma_update(None, "synchronous", synchronous)?;
            db.execute_batch(&format!("CREATE TABLE IF NOT EXISTS {name} (id INTEGER PRIMARY KEY, value BLOB)"))?;
            Ok::<_, Failure>(Arc::new(Mutex::new(db)))
        };
        let (locks, log) = (table("locks", "NORMAL")?, table("log", "FULL")?);
        Ok(Self { directory, locks, log, armed: Mutex::default() })
    }

    fn turn(&self, turn: u64) -> PathBuf {
        self.directory.join(format!("turn-{turn}"))
    }
}

fn write(db: &Mutex<Connection>, statement: &str, id: Option<usize>) -> Result<(), Failure> {
    let db = db.lock().unwrap_or_else(PoisonError::into_inner);
    db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    db.prepare_cached(statement)?.execute([id.map(|id| id as i64)])?;
    db.prepare_cached("COMMIT")?.execute([])?;
    Ok(())
}

#[async_trait]
impl Floor for Raw {
    fn words(&self) -> &'static str {
        "two raw SQLite transactions"
    }

    fn targets(&self) -> Targets {
        Targets { pair: Some(1.5), hand_over: Some(3.0) }
    }

    async fn pair(&self, task: usize) -> Result<(), Failure> {
        write(&self.locks, "INSERT INTO locks VALUES (?1, x'00')", Some(task))?;
        write(&self.locks, "DELETE FROM locks WHERE id = ?1", Some(task))
    }

    async fn look(&self) -> Result<(), Failure> {
        let db = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        db.prepare_cached("SELECT 1 FROM locks WHERE id = ?1")?.exists([0])?;
        Ok(())
    }

    async fn append(&self) -> Result<(), Failure> {
        write(&self.log, "INSERT INTO log VALUES (?1, zeroblob(100))", None)
    }

    async fn arm(&self, turn: u64) -> Result<(), Failure> {
        let own = self.directory.join(format!("new-{turn}"));
        let file = File::create(&own)?;
        flock(&file, FlockOperation::LockExclusive)?;
        // It appears only once it is locked.
        fs::rename(own, self.turn(turn))?;
        self.armed.lock().unwrap_or_else(PoisonError::into_inner).insert(turn, file);
        Ok(())
    }

    async fn pass(&self, turn: u64) -> Result<(), Failure> {
        drop(self.armed.lock().unwrap_or_else(PoisonError::into_inner).remove(&turn));
        Ok(())
    }

    async fn receive(&self, turn: u64) -> Result<(), Failure> {
        let path = self.turn(turn);
        tokio::task::spawn_blocking(move || {
            let file = loop {
                match File::open(&path) {
                    Ok(file) => break file,
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                        std::thread::sleep(Duration::from_micros(200));
                    }
                    Err(error) => return Err(Failure::from(error)),
                }
            };
            Ok(flock(&file, FlockOperation::LockExclusive)?)
        })
        .await?
    }
}
