//! ZooKeeper: a standalone server, and an ensemble of three.

use std::fmt::Write;
use std::io;
use std::sync::{Arc, LazyLock};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::certificates::Certificates;
use super::spec::{DeploymentSpec, Launch, Location, NodeSpec, Product};
use super::{statistics, wire};

/// ZooKeeper.
pub static PRODUCT: Product = Product {
    image: Some("zookeeper:3.9"),
    local_image: Some("tooz-test/zookeeper:bookworm"),
    package: Some("zookeeper"),
    statistics: Some(|port| statistics::zookeeper(port).boxed()),
    ..Product::new("zookeeper", &["zkServer.sh", "/usr/share/zookeeper/bin/zkServer.sh"], |port| version(port).boxed())
};

/// A small heap and no fsync: the trials test the client, and a killed server still has what it wrote.
const JVM: &str = "-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dzookeeper.forceSync=no \
                   -Dzookeeper.extendedTypesEnabled=true -Dzookeeper.admin.enableServer=false";

/// Ciphers need the optimizing compiler, and a busy connection must not block others on its thread.
const TLS_JVM: &str = "-Dio.netty.eventLoopThreads=16 ";

/// One standalone server. It grants sessions from 1 s to 60 s.
pub fn single() -> DeploymentSpec {
    servers(&["server-1"])
}

/// Three servers, of which any two serve.
pub fn ensemble() -> DeploymentSpec {
    servers(&["server-1", "server-2", "server-3"])
}

/// One standalone server whose clients must use TLS and a certificate. A second port is without TLS.
pub fn secure(certificates: Arc<LazyLock<Certificates>>) -> DeploymentSpec {
    let known = certificates.clone();
    // The first handshake of a JVM is slow, so the server counts as ready after it.
    let ready_for_clients = move |port| {
        let known = known.clone();
        async move { serves(&known.request(port, "srvr").await?) }.boxed()
    };
    let plan = move |locations: &[Location], index: usize| {
        let location = &locations[index];
        let mut launch = server(locations, index);
        let data = &location.data;
        let secure = format!(
            "secureClientPort={}\nsecureClientPortAddress=127.0.0.1\n\
             serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n\
             ssl.keyStore.location={data}/server.pem\nssl.keyStore.type=PEM\n\
             ssl.trustStore.location={data}/ca.pem\nssl.trustStore.type=PEM\n",
            location.port(),
        );
        for (_, value) in launch.env.iter_mut().filter(|(name, _)| name == "SERVER_JVMFLAGS") {
            *value = TLS_JVM.to_owned() + &value.replace("-XX:TieredStopAtLevel=1", "");
        }
        launch.files[0].1 = launch.files[0].1.replace(
            &format!("clientPort={}\n", location.port()),
            &format!("clientPort={}\n{secure}", location.ports[PLAIN]),
        );
        let identity = certificates.content("server.key") + &certificates.content("server.pem");
        launch.files.push(("server.pem".to_owned(), identity));
        launch.files.push(("ca.pem".to_owned(), certificates.content("ca.pem")));
        launch
    };
    let node = NodeSpec::new("server-1", plan, ready).ports(3).health_port(PLAIN).also_ready_when(ready_for_clients);
    DeploymentSpec::new(&PRODUCT, vec![node])
}

/// The port of a secure server without TLS.
const PLAIN: usize = 1;

fn servers(names: &[&'static str]) -> DeploymentSpec {
    let node = |name: &&'static str| NodeSpec::new(*name, server, ready).ports(3);
    DeploymentSpec::new(&PRODUCT, names.iter().map(node).collect())
}

fn server(locations: &[Location], index: usize) -> Launch {
    let location = &locations[index];
    let mut config = format!(
        "dataDir={data}\nclientPort={port}\nclientPortAddress=127.0.0.1\ntickTime=500\ninitLimit=20\nsyncLimit=10\n\
         minSessionTimeout=1000\nmaxSessionTimeout=60000\nmaxClientCnxns=0\n4lw.commands.whitelist=*\n\
         admin.enableServer=false\nextendedTypesEnabled=true\n",
        data = location.data,
        port = location.port(),
    );
    if locations.len() > 1 {
        config.push_str("standaloneEnabled=false\n");
        for (at, location) in locations.iter().enumerate() {
            let (quorum, election) = (location.ports[1], location.ports[2]);
            // Writing to a String cannot fail.
            writeln!(config, "server.{}=127.0.0.1:{quorum}:{election}", at + 1).ok();
        }
    }
    let env = [
        ("SERVER_JVMFLAGS", JVM),
        ("JMXDISABLE", "true"),
        ("ZOO_LOG_DIR", &location.data),
        ("ZOOCFGDIR", &location.data),
    ];
    Launch {
        args: vec!["start-foreground".to_owned(), format!("{}/zoo.cfg", location.data)],
        env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        files: vec![("zoo.cfg".to_owned(), config), ("myid".to_owned(), format!("{}\n", index + 1))],
        ..Launch::default()
    }
}

fn ready(port: u16) -> BoxFuture<'static, io::Result<()>> {
    async move { serves(&wire::four_letters(port, "srvr").await?) }.boxed()
}

/// Checks the answer to `srvr`.
fn serves(answer: &str) -> io::Result<()> {
    match answer.contains("Mode:") {
        true => Ok(()),
        false => Err(io::Error::other(answer.trim().to_owned())),
    }
}

async fn version(port: u16) -> io::Result<String> {
    let answer = wire::four_letters(port, "srvr").await?;
    let version = answer.strip_prefix("Zookeeper version: ").and_then(|rest| rest.split(['-', ',']).next());
    Ok(version.unwrap_or("unknown").to_owned())
}
