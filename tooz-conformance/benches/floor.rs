//! Compares the memory driver with the locks and notifications of Tokio, in one process.

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::Notify;
use tooz_conformance::bench::{self, Floor};
use tooz_conformance::{Failure, Harness, Target};
use tooz_core::memory;

fn main() -> ExitCode {
    let harness = Harness::in_process("memory", memory::DRIVER, |word| format!("memory://{word}"));
    bench::main(harness, |target| async move { Ok(Tokio::new(&target)) })
}

type Turns = HashMap<(String, u64), Arc<Notify>>;

/// The turns that contenders of this process pass to each other.
static TURNS: LazyLock<Mutex<Turns>> = LazyLock::new(Mutex::default);

struct Tokio {
    namespace: String,
    locks: Vec<tokio::sync::Mutex<()>>,
    log: Mutex<Vec<Vec<u8>>>,
}

impl Tokio {
    fn new(target: &Target) -> Self {
        let locks = (0..64).map(|_| tokio::sync::Mutex::default()).collect();
        Self { namespace: target.namespace().to_owned(), locks, log: Mutex::default() }
    }

    fn turn(&self, turn: u64) -> Arc<Notify> {
        let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry((self.namespace.clone(), turn)).or_default().clone()
    }
}

#[async_trait]
impl Floor for Tokio {
    fn words(&self) -> &'static str {
        "a tokio mutex"
    }

    async fn pair(&self, task: usize) -> Result<(), Failure> {
        drop(self.locks[task].lock().await);
        Ok(())
    }

    async fn look(&self) -> Result<(), Failure> {
        drop(self.locks[0].try_lock());
        Ok(())
    }

    async fn append(&self) -> Result<(), Failure> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(vec![b'x'; 100]);
        Ok(())
    }

    async fn pass(&self, turn: u64) -> Result<(), Failure> {
        self.turn(turn).notify_one();
        Ok(())
    }

    async fn receive(&self, turn: u64) -> Result<(), Failure> {
        self.turn(turn).notified().await;
        Ok(())
    }
}
