//! Compares the driver with raw transactions and one watch of etcd-client.

use std::process::ExitCode;

use async_trait::async_trait;
use etcd_client::{Client, Compare, CompareOp, EventType, KvClient, LeaseClient, PutOptions, Txn, TxnOp, WatchClient};
use tooz_conformance::bench::{self, Floor, Targets};
use tooz_conformance::servers::etcd;
use tooz_conformance::{Failure, Harness, Target};

fn main() -> ExitCode {
    let url = |addresses: &[String]| format!("etcd://{}", addresses.join(","));
    let harness = Harness::new("etcd", tooz_etcd::DRIVER, etcd::single(), url);
    bench::main(harness, |target| async move { Raw::open(&target).await })
}

struct Raw {
    kv: KvClient,
    watch: WatchClient,
    /// Outlives a run of the benchmark.
    lease: i64,
    namespace: String,
}

impl Raw {
    async fn open(target: &Target) -> Result<Self, Failure> {
        let hosts = target.url().trim_start_matches("etcd://").split('?').next().unwrap_or_default().to_owned();
        let client = Client::connect(hosts.split(',').collect::<Vec<_>>(), None).await?;
        let mut leases: LeaseClient = client.lease_client();
        let lease = leases.grant(1200, None).await?.id();
        let namespace = format!("{}-floor", target.namespace());
        Ok(Self { kv: client.kv_client(), watch: client.watch_client(), lease, namespace })
    }

    fn key(&self, what: &str, number: impl std::fmt::Display) -> String {
        format!("{}/{what}/{number}", self.namespace)
    }
}

#[async_trait]
impl Floor for Raw {
    fn words(&self) -> &'static str {
        "a raw put and a raw delete, each a Txn"
    }

    fn targets(&self) -> Targets {
        Targets { pair: Some(1.15), hand_over: Some(1.3) }
    }

    async fn pair(&self, task: usize) -> Result<(), Failure> {
        let (key, mut kv) = (self.key("lock", task), self.kv.clone());
        let free = Compare::create_revision(key.clone(), CompareOp::Equal, 0);
        let put = TxnOp::put(key.clone(), "me", Some(PutOptions::new().with_lease(self.lease)));
        let taken = kv.txn(Txn::new().when([free]).and_then([put])).await?;
        let revision = taken.header().map_or(0, |header| header.revision());
        let ours = Compare::create_revision(key.clone(), CompareOp::Equal, revision);
        kv.txn(Txn::new().when([ours]).and_then([TxnOp::delete(key, None)])).await?;
        Ok(())
    }

    async fn look(&self) -> Result<(), Failure> {
        self.kv.clone().get(self.key("lock", 0), None).await?;
        Ok(())
    }

    async fn append(&self) -> Result<(), Failure> {
        self.kv.clone().put(self.key("log", 0), vec![b'x'; 100], None).await?;
        Ok(())
    }

    async fn arm(&self, turn: u64) -> Result<(), Failure> {
        self.kv.clone().put(self.key("turn", turn), "", None).await?;
        Ok(())
    }

    async fn pass(&self, turn: u64) -> Result<(), Failure> {
        self.kv.clone().delete(self.key("turn", turn), None).await?;
        Ok(())
    }

    async fn receive(&self, turn: u64) -> Result<(), Failure> {
        // A watch without a start revision is in step, so etcd serves it at once.
        let mut watch = self.watch.clone().watch(self.key("turn", turn), None).await?;
        while let Some(answer) = watch.message().await? {
            if answer.events().iter().any(|event| event.event_type() == EventType::Delete) {
                return Ok(());
            }
        }
        Err(Failure::new("the watch ended"))
    }
}
