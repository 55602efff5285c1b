//! PostgreSQL: one server, and a primary with a synchronous standby.

use std::io;
use std::sync::{Arc, LazyLock};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::certificates::Certificates;
use super::spec::{DeploymentSpec, Launch, Location, NodeSpec, Product};
use super::{statistics, wire};

/// The superuser of the servers, who needs no password from this host.
pub const USER: &str = "postgres";

/// PostgreSQL. It refuses to run as root, and TERM would have it wait for its clients.
pub static PRODUCT: Product = Product {
    image: Some("postgres:17"),
    local_image: Some("tooz-test/postgres:bookworm"),
    package: Some("postgresql-15"),
    user: Some("postgres"),
    stop_signal: "INT",
    statistics: Some(|port| statistics::postgres(port, USER).boxed()),
    ..Product::new(
        "postgres",
        &[
            "postgres",
            "/usr/lib/postgresql/17/bin/postgres",
            "/usr/lib/postgresql/16/bin/postgres",
            "/usr/lib/postgresql/15/bin/postgres",
        ],
        |port| version(port).boxed(),
    )
};

/// One server, which writes every commit to disk before it confirms it.
pub fn single() -> DeploymentSpec {
    DeploymentSpec::new(&PRODUCT, vec![NodeSpec::new("server", |locations, index| server(&locations[index]), ready)])
}

/// One server with TLS, which it does not require. It accepts client certificates that `ca` has signed.
pub fn secure(certificates: Arc<LazyLock<Certificates>>) -> DeploymentSpec {
    let plan = move |locations: &[Location], index: usize| {
        let mut launch = server(&locations[index]);
        for file in ["server.pem", "server.key", "ca.pem"] {
            launch.files.push((file.to_owned(), certificates.content(file)));
        }
        let settings = [
            "ssl=on",
            "ssl_cert_file={data}/server.pem",
            "ssl_key_file={data}/server.key",
            "ssl_ca_file={data}/ca.pem",
        ];
        launch.args.extend(settings.iter().flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]));
        // The server refuses a key that others can read.
        launch.prepare = format!("chmod 600 {{data}}/server.key && {}", launch.prepare);
        launch
    };
    DeploymentSpec::new(&PRODUCT, vec![NodeSpec::new("server", plan, ready)])
}

/// A primary and a standby. The primary confirms a commit when the standby has it, too. A client connects to the one that
/// takes writes. The standby is promoted only by `SELECT pg_promote()`.
pub fn with_standby() -> DeploymentSpec {
    let primary = NodeSpec::new("primary", |locations, index| primary(&locations[index]), ready);
    let standby = NodeSpec::new("standby", |locations, index| standby(&locations[0], &locations[index]), ready)
        .also_ready_when(|port| is_replicating(port).boxed());
    DeploymentSpec::new(&PRODUCT, vec![primary, standby.after_others()])
}

fn server(location: &Location) -> Launch {
    let port = format!("port={}", location.port());
    let args = [
        &port,
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "max_connections=300",
        "shared_buffers=32MB",
        // The suite reads statistics from this extension.
        "shared_preload_libraries=pg_stat_statements",
        // The memory is mapped in the data directory, so that a killed server leaves nothing behind.
        "dynamic_shared_memory_type=mmap",
    ];
    let mut launch = Launch {
        args: vec!["-D".to_owned(), "{data}/db".to_owned()],
        prepare: format!("initdb -D {{data}}/db -U {USER} -A trust -N --wal-segsize=1"),
        ..Launch::default()
    };
    launch.args.extend(args.iter().flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]));
    launch
}

fn primary(location: &Location) -> Launch {
    let mut launch = server(location);
    // After a crash of both, the standby may still need older log files of the primary.
    launch.args.extend(["-c", "synchronous_standby_names=standby", "-c", "wal_keep_size=64MB"].map(str::to_owned));
    launch
}

fn standby(primary: &Location, location: &Location) -> Launch {
    let mut launch = server(location);
    // The default is 5 s, in which the primary would confirm no commit.
    launch.args.extend(["-c", "wal_retrieve_retry_interval=100ms"].map(str::to_owned));
    let from = format!("host=127.0.0.1 port={} user={USER} application_name=standby", primary.port());
    // The primary may still be starting.
    launch.prepare =
        format!("until pg_basebackup -D {{data}}/db -R -N -X stream -c fast -d '{from}'; do sleep 0.2; done");
    launch
}

/// A server that asks for a password serves. One that recovers does not.
fn ready(port: u16) -> BoxFuture<'static, io::Result<()>> {
    async move { wire::postgres(port, USER, "").await.map(drop) }.boxed()
}

async fn version(port: u16) -> io::Result<String> {
    let parameters = wire::postgres(port, USER, "").await?;
    let version = parameters.split("server_version\0").nth(1).and_then(|rest| rest.split(['\0', ' ']).next());
    Ok(version.unwrap_or("unknown").to_owned())
}

/// Fails until the standby receives what the primary writes: the primary confirms no commit before.
async fn is_replicating(standby: u16) -> io::Result<()> {
    let reply = wire::postgres(standby, USER, "SELECT status FROM pg_stat_wal_receiver").await?;
    match reply.contains("streaming") {
        true => Ok(()),
        false => Err(io::Error::other("the standby does not receive from the primary")),
    }
}
