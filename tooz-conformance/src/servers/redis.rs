//! Redis: single, under Sentinel, and as a Cluster; and Valkey.

use std::io;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep};

use super::spec::{DeploymentSpec, Launch, Location, NodeSpec, Product};
use super::{statistics, wire};

/// The name under which [`sentinel`] watches its master.
pub const MASTER_NAME: &str = "mymaster";
const PERSISTENT: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// Redis.
pub static PRODUCT: Product = Product {
    image: Some("redis:7.4"),
    local_image: Some("tooz-test/redis:bookworm"),
    package: Some("redis-server"),
    statistics: Some(|port| statistics::redis(port).boxed()),
    may_lose_notifications: true,
    ..Product::new("redis", &["redis-server", "valkey-server"], |port| version(port).boxed())
};

/// Valkey, a fork of Redis 7.2.
pub static VALKEY: Product = Product {
    image: Some("valkey/valkey:8.1"),
    local_image: Some("tooz-test/valkey:trixie"),
    package: Some("valkey-server"),
    statistics: Some(|port| statistics::redis(port).boxed()),
    may_lose_notifications: true,
    ..Product::new("valkey", &["valkey-server"], |port| version(port).boxed())
};

/// One server without persistence.
pub fn single() -> DeploymentSpec {
    one(&PRODUCT)
}

/// One Valkey server with the persistence of [`persistent`].
pub fn valkey() -> DeploymentSpec {
    one(&VALKEY).args(PERSISTENT)
}

fn one(product: &'static Product) -> DeploymentSpec {
    DeploymentSpec::new(product, vec![NodeSpec::new("server", |locations, index| server(&locations[index]), ready)])
}

/// One server that writes every command to disk before it replies, so that its data survives `kill -9`.
pub fn persistent() -> DeploymentSpec {
    single().args(PERSISTENT)
}

/// One master, two replicas and three sentinels, which promote a replica about 2 s after the master ends. Clients get
/// the addresses of the sentinels.
pub fn sentinel() -> DeploymentSpec {
    let mut nodes =
        vec![NodeSpec::new("master", |locations, index| master(&locations[index]), ready).not_for_clients()];
    for name in ["replica-1", "replica-2"] {
        let replica = NodeSpec::new(name, |locations, index| replica_of(&locations[0], &locations[index]), follows);
        nodes.push(replica.not_for_clients());
    }
    for (index, name) in ["sentinel-1", "sentinel-2", "sentinel-3"].into_iter().enumerate() {
        let node = NodeSpec::new(name, |locations, index| sentinel_of(&locations[0], &locations[index]), ready);
        // A sentinel looks for replicas when it starts, and then again only after 10 s.
        nodes.push(if index == 0 { node.after_others() } else { node });
    }
    DeploymentSpec::new(&PRODUCT, nodes)
        .formed_by(|ports| async move { sentinels_agree(&ports[3..]).await }.boxed())
        .advertises_addresses()
}

/// Three masters that share the slots, without replicas.
pub fn cluster() -> DeploymentSpec {
    let node = |name| NodeSpec::new(name, |locations, index| cluster_node(&locations[index]), ready).ports(2);
    DeploymentSpec::new(&PRODUCT, ["node-1", "node-2", "node-3"].map(node).to_vec())
        .formed_by(|ports| form_cluster(ports).boxed())
        .advertises_addresses()
}

fn server(location: &Location) -> Launch {
    let port = location.port().to_string();
    let args = ["--port", &port, "--bind", "127.0.0.1", "--dir", &location.data, "--save", "", "--appendonly", "no"];
    Launch { args: args.map(str::to_owned).to_vec(), ..Launch::default() }
}

/// The master sends its data to a replica at once, instead of waiting 5 s for other replicas.
fn master(location: &Location) -> Launch {
    let mut launch = server(location);
    launch.args.extend(["--repl-diskless-sync-delay", "0"].map(str::to_owned));
    launch
}

fn replica_of(master: &Location, location: &Location) -> Launch {
    let mut launch = server(location);
    launch.args.extend(["--replicaof".to_owned(), "127.0.0.1".to_owned(), master.port().to_string()]);
    launch
}

fn sentinel_of(master: &Location, location: &Location) -> Launch {
    let config = format!(
        "port {}\nbind 127.0.0.1\ndir {}\nsentinel monitor {MASTER_NAME} 127.0.0.1 {} 2\n\
         sentinel down-after-milliseconds {MASTER_NAME} 1500\nsentinel failover-timeout {MASTER_NAME} 5000\n",
        location.port(),
        location.data,
        master.port(),
    );
    let args = vec![format!("{}/sentinel.conf", location.data), "--sentinel".to_owned()];
    Launch { args, files: vec![("sentinel.conf".to_owned(), config)], ..Launch::default() }
}

fn cluster_node(location: &Location) -> Launch {
    let mut launch = server(location);
    let bus = location.ports[1].to_string();
    let args = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", "2000"];
    launch.args.extend(args.map(str::to_owned));
    launch
}

/// A server that requires a password serves. A server that still loads its data does not.
fn ready(port: u16) -> BoxFuture<'static, io::Result<()>> {
    async move {
        match wire::redis(port, &["PING"]).await {
            Ok(_) => Ok(()),
            Err(error) if error.to_string().starts_with("NOAUTH") => Ok(()),
            Err(error) => Err(error),
        }
    }
    .boxed()
}

/// A replica serves when it has its master's data, or when it was promoted.
fn follows(port: u16) -> BoxFuture<'static, io::Result<()>> {
    async move {
        let info = wire::redis(port, &["INFO", "replication"]).await?;
        match info.contains("master_link_status:up") || info.contains("role:master") {
            true => Ok(()),
            false => Err(io::Error::other("the replica does not follow its master yet")),
        }
    }
    .boxed()
}

async fn version(port: u16) -> io::Result<String> {
    let info = wire::redis(port, &["INFO", "server"]).await?;
    let field = |name| info.lines().find_map(|line| line.strip_prefix(name));
    // Valkey also reports the Redis version that it is compatible with.
    let line = field("valkey_version:").or_else(|| field("redis_version:"));
    Ok(line.unwrap_or("unknown").trim().to_owned())
}

async fn sentinels_agree(sentinels: &[u16]) -> io::Result<()> {
    for &port in sentinels {
        until("the sentinels do not see each other and both replicas", || async move {
            let state = wire::redis(port, &["SENTINEL", "MASTER", MASTER_NAME]).await?;
            let words: Vec<&str> = state.lines().filter(|line| !line.starts_with(['$', '*'])).collect();
            let field = |name| words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1)).copied();
            Ok(field("num-slaves") == Some("2") && field("num-other-sentinels") == Some("2"))
        })
        .await?;
    }
    Ok(())
}

async fn form_cluster(ports: Vec<u16>) -> io::Result<()> {
    const SLOTS: usize = 16384;
    for (index, &port) in ports.iter().enumerate() {
        let bounds = [index, index + 1].map(|part| part * SLOTS / ports.len());
        let (first, last) = (bounds[0].to_string(), (bounds[1] - 1).to_string());
        wire::redis(port, &["CLUSTER", "ADDSLOTSRANGE", &first, &last]).await?;
        wire::redis(port, &["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]).await?;
    }
    for &port in &ports[1..] {
        let bus = bus_port(port).await?;
        wire::redis(ports[0], &["CLUSTER", "MEET", "127.0.0.1", &port.to_string(), &bus]).await?;
    }
    for &port in &ports {
        let known = format!("cluster_known_nodes:{}", ports.len());
        until("the nodes do not form a cluster", || {
            let known = known.clone();
            async move {
                let info = wire::redis(port, &["CLUSTER", "INFO"]).await?;
                Ok(info.contains("cluster_state:ok") && info.contains(&known))
            }
        })
        .await?;
    }
    Ok(())
}

async fn bus_port(port: u16) -> io::Result<String> {
    let reply = wire::redis(port, &["CONFIG", "GET", "cluster-port"]).await?;
    Ok(reply.lines().last().unwrap_or_default().to_owned())
}

async fn until<F: Future<Output = io::Result<bool>>>(what: &str, mut check: impl FnMut() -> F) -> io::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match check().await {
            Ok(true) => return Ok(()),
            _ if Instant::now() < deadline => sleep(Duration::from_millis(50)).await,
            Ok(false) => return Err(io::Error::other(what.to_owned())),
            Err(error) => return Err(io::Error::other(format!("{what}: {error}"))),
        }
    }
}
