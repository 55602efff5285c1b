//! The driver beside raw scripts and lists over one fred connection, or two where one of them waits.

use std::process::ExitCode;

use async_trait::async_trait;
use fred::clients::Client;
use fred::interfaces::{ClientLike, LuaInterface};
use fred::types::config::{Config, PerformanceConfig};
use fred::types::{ClusterHash, CustomCommand, RespVersion, Value};
use tooz_conformance::bench::{self, Floor, Targets};
use tooz_conformance::servers::redis;
use tooz_conformance::{Failure, Harness, Target};

fn main() -> ExitCode {
    let url = |addresses: &[String]| format!("redis://{}/0", addresses[0]);
    let harness = Harness::new("redis", tooz_redis::DRIVER, redis::single(), url);
    bench::main(harness, |target| async move { Fred::open(&target).await })
}

/// The least that a lock with an owner needs: set it if it is free, remove it if it is ours.
const TAKE: &str = "return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', 10000)";
const GIVE: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

struct Fred {
    commands: Client,
    waiting: Client,
    namespace: String,
    take: String,
    give: String,
}

impl Fred {
    async fn open(target: &Target) -> Result<Self, Failure> {
        let (commands, waiting) = (connect(target).await?, connect(target).await?);
        let (take, give) = (commands.script_load(TAKE).await?, commands.script_load(GIVE).await?);
        Ok(Self { commands, waiting, namespace: target.namespace().to_owned(), take, give })
    }

    fn key(&self, what: &str, number: impl std::fmt::Display) -> String {
        format!("{{{}}}:{what}:{number}", self.namespace)
    }
}

async fn connect(target: &Target) -> Result<Client, Failure> {
    let config = Config { version: RespVersion::RESP3, ..Config::from_url(target.url())? };
    let client = Client::new(config, Some(PerformanceConfig::default()), None, None);
    client.init().await?;
    Ok(client)
}

async fn command(client: &Client, name: &'static str, args: Vec<String>) -> Result<Value, Failure> {
    Ok(client.custom(CustomCommand::new_static(name, ClusterHash::FirstKey, false), args).await?)
}

#[async_trait]
impl Floor for Fred {
    fn words(&self) -> &'static str {
        "two raw EVALSHA"
    }

    fn targets(&self) -> Targets {
        Targets { pair: Some(1.15), hand_over: Some(1.5) }
    }

    async fn pair(&self, task: usize) -> Result<(), Failure> {
        let key = self.key("lock", task);
        let _: Value = self.commands.evalsha(&self.take, key.as_str(), "me").await?;
        Ok(self.commands.evalsha(&self.give, key, "me").await?)
    }

    async fn look(&self) -> Result<(), Failure> {
        command(&self.commands, "GET", vec![self.key("lock", 0)]).await.map(drop)
    }

    async fn append(&self) -> Result<(), Failure> {
        let args = [&self.key("log", 0), "MAXLEN", "~", "10000", "*", "m", &"x".repeat(100)].map(str::to_owned);
        command(&self.commands, "XADD", args.to_vec()).await.map(drop)
    }

    async fn pass(&self, turn: u64) -> Result<(), Failure> {
        command(&self.commands, "RPUSH", vec![self.key("turn", turn), "token".to_owned()]).await.map(drop)
    }

    async fn receive(&self, turn: u64) -> Result<(), Failure> {
        command(&self.waiting, "BLPOP", vec![self.key("turn", turn), "0".to_owned()]).await.map(drop)
    }
}
