//! The driver beside raw statements over one connection, or two where one of them waits.

use std::future::poll_fn;
use std::process::ExitCode;

use async_trait::async_trait;
use tokio::sync::{Mutex, mpsc};
use tokio_postgres::{AsyncMessage, Client, NoTls, Statement};
use tooz_conformance::bench::{self, Floor, Targets};
use tooz_conformance::servers::postgres;
use tooz_conformance::{Failure, Harness, Target};

fn main() -> ExitCode {
    let url = |addresses: &[String]| format!("postgres://postgres@{}/postgres", addresses[0]);
    let harness = Harness::new("postgres", tooz_postgres::DRIVER, postgres::single(), url);
    bench::main(harness, |target| async move { Raw::open(&target).await })
}

/// The least that a lock with an owner needs, in a database that confirms nothing that a crash could undo: a row that is
/// inserted and deleted.
const TABLES: &str = "CREATE TABLE IF NOT EXISTS floor_lock (task bigint PRIMARY KEY, owner text NOT NULL);
    CREATE TABLE IF NOT EXISTS floor_log (id bigserial PRIMARY KEY, payload text NOT NULL)";

struct Raw {
    statements: Client,
    insert: Statement,
    delete: Statement,
    read: Statement,
    append: Statement,
    lock: Statement,
    unlock: Statement,
    turns: Mutex<mpsc::UnboundedReceiver<()>>,
    _listening: Client,
}

impl Raw {
    async fn open(target: &Target) -> Result<Self, Failure> {
        let statements = connect(target, mpsc::unbounded_channel().0).await?;
        statements.batch_execute(TABLES).await?;
        let (sender, turns) = mpsc::unbounded_channel();
        let listening = connect(target, sender).await?;
        listening.batch_execute("LISTEN floor_turn").await?;
        Ok(Self {
            insert: statements.prepare("INSERT INTO floor_lock VALUES ($1, 'me')").await?,
            delete: statements.prepare("DELETE FROM floor_lock WHERE task = $1 AND owner = 'me'").await?,
            read: statements.prepare("SELECT owner FROM floor_lock WHERE task = $1").await?,
            append: statements.prepare("INSERT INTO floor_log (payload) VALUES ($1)").await?,
            lock: statements.prepare("SELECT pg_advisory_lock($1)").await?,
            unlock: statements.prepare("SELECT pg_advisory_unlock($1)").await?,
            statements,
            turns: turns.into(),
            _listening: listening,
        })
    }
}

/// Connects, and sends a word for each notification.
async fn connect(target: &Target, notified: mpsc::UnboundedSender<()>) -> Result<Client, Failure> {
    let (client, mut connection) = tokio_postgres::connect(target.url(), NoTls).await?;
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(_) = message {
                notified.send(()).ok();
            }
        }
    });
    Ok(client)
}

#[async_trait]
impl Floor for Raw {
    fn words(&self) -> &'static str {
        "a raw INSERT and a raw DELETE"
    }

    fn targets(&self) -> Targets {
        Targets { pair: Some(1.3), hand_over: Some(1.5) }
    }

    async fn pair(&self, task: usize) -> Result<(), Failure> {
        let task = i64::try_from(task)?;
        self.statements.execute(&self.insert, &[&task]).await?;
        self.statements.execute(&self.delete, &[&task]).await?;
        Ok(())
    }

    fn native_lock(&self) -> Option<&'static str> {
        Some("pg_advisory_lock and pg_advisory_unlock")
    }

    async fn native_pair(&self) -> Result<(), Failure> {
        self.statements.query(&self.lock, &[&0i64]).await?;
        Ok(self.statements.query(&self.unlock, &[&0i64]).await.map(drop)?)
    }

    async fn look(&self) -> Result<(), Failure> {
        Ok(self.statements.query(&self.read, &[&0i64]).await.map(drop)?)
    }

    async fn append(&self) -> Result<(), Failure> {
        Ok(self.statements.execute(&self.append, &[&"x".repeat(100)]).await.map(drop)?)
    }

    async fn pass(&self, _turn: u64) -> Result<(), Failure> {
        Ok(self.statements.batch_execute("NOTIFY floor_turn").await?)
    }

    async fn receive(&self, _turn: u64) -> Result<(), Failure> {
        self.turns.lock().await.recv().await;
        Ok(())
    }
}
