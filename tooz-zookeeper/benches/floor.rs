//! The driver compared with raw requests of the same client crate.

use std::process::ExitCode;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;
use tooz_conformance::bench::{self, Floor, Targets};
use tooz_conformance::servers::zookeeper;
use tooz_conformance::{Failure, Harness, Target};
use zookeeper_async::{Acl, CreateMode, ZkError, ZooKeeper};

fn main() -> ExitCode {
    let url = |addresses: &[String]| format!("zookeeper://{}", addresses.join(","));
    let harness = Harness::new("zookeeper", tooz_zookeeper::DRIVER, zookeeper::single(), url);
    bench::main(harness, |target| async move { Raw::open(&target).await })
}

struct Raw {
    client: ZooKeeper,
    root: String,
}

impl Raw {
    async fn open(target: &Target) -> Result<Self, Failure> {
        let hosts = target.url().trim_start_matches("zookeeper://").split('?').next().unwrap_or_default().to_owned();
        let client = ZooKeeper::connect(&hosts, Duration::from_secs(10), |_| {}).await?;
        let raw = Self { client, root: format!("/{}-floor", target.namespace()) };
        raw.make(&raw.root).await?;
        for task in 0..64 {
            raw.make(&format!("{}/{task}", raw.root)).await?;
        }
        Ok(raw)
    }

    /// Another process may have created it already.
    async fn make(&self, path: &str) -> Result<(), Failure> {
        match self.create(path, CreateMode::Persistent).await {
            Ok(_) | Err(ZkError::NodeExists) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn create(&self, path: &str, mode: CreateMode) -> Result<String, ZkError> {
        self.client.create(path, vec![b'x'; 100], Acl::open_unsafe().clone(), mode).await
    }

    fn turn(&self, turn: u64) -> String {
        format!("{}/turn-{turn}", self.root)
    }
}

#[async_trait]
impl Floor for Raw {
    fn words(&self) -> &'static str {
        "raw create, getChildren, delete"
    }

    fn targets(&self) -> Targets {
        Targets { pair: Some(1.2), hand_over: Some(2.0) }
    }

    async fn pair(&self, task: usize) -> Result<(), Failure> {
        let parent = format!("{}/{task}", self.root);
        let path = self.create(&format!("{parent}/e-"), CreateMode::EphemeralSequential).await?;
        self.client.get_children(&parent, false).await?;
        Ok(self.client.delete(&path, None).await?)
    }

    async fn look(&self) -> Result<(), Failure> {
        self.client.get_children(&format!("{}/0", self.root), false).await?;
        Ok(())
    }

    async fn append(&self) -> Result<(), Failure> {
        self.create(&format!("{}/1/m-", self.root), CreateMode::PersistentSequential).await?;
        Ok(())
    }

    async fn arm(&self, turn: u64) -> Result<(), Failure> {
        self.make(&self.turn(turn)).await
    }

    async fn pass(&self, turn: u64) -> Result<(), Failure> {
        Ok(self.client.delete(&self.turn(turn), None).await?)
    }

    async fn receive(&self, turn: u64) -> Result<(), Failure> {
        let path = self.turn(turn);
        loop {
            let (sender, fired) = oneshot::channel();
            let on_event = move |_| {
                let _ = sender.send(());
            };
            let armed = self.client.exists_w(&path, on_event).await?.is_some();
            fired.await?;
            // Otherwise the event was the creation of the znode.
            if armed {
                return Ok(());
            }
        }
    }
}
