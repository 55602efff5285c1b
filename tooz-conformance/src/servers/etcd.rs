//! etcd: a single member, three members, and one that requires TLS.

use std::io;
use std::sync::{Arc, LazyLock};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::certificates::Certificates;
use super::spec::{DeploymentSpec, Launch, Location, NodeSpec, Product};
use super::{statistics, wire};

/// etcd. It has no stock image with a short name; `TOOZ_TEST_ETCD_IMAGE` names one.
pub static PRODUCT: Product = Product {
    local_image: Some("tooz-test/etcd:bookworm"),
    package: Some("etcd-server"),
    statistics: Some(|port| statistics::etcd(port).boxed()),
    ..Product::new("etcd", &["etcd"], |port| version(port).boxed())
};

/// One member.
pub fn single() -> DeploymentSpec {
    members(&["member-1"])
}

/// One member with further arguments.
pub fn with_args(args: &'static [&'static str]) -> DeploymentSpec {
    let plan = move |locations: &[Location], index: usize| {
        let mut launch = member(locations, index);
        launch.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        launch
    };
    DeploymentSpec::new(&PRODUCT, vec![NodeSpec::new("member-1", plan, ready).ports(2)])
}

/// Three members, of which any two serve.
pub fn three() -> DeploymentSpec {
    members(&["member-1", "member-2", "member-3"])
}

/// One member whose clients must use TLS and a certificate. A further port serves health checks without TLS.
pub fn secure(certificates: Arc<LazyLock<Certificates>>) -> DeploymentSpec {
    let plan = move |locations: &[Location], index: usize| {
        let mut launch = member(locations, index);
        let location = &locations[index];
        let http = format!("http://127.0.0.1:{}", location.port());
        for arg in &mut launch.args {
            *arg = arg.replace(&http, &http.replace("http", "https"));
        }
        launch.args.push(format!("--listen-metrics-urls=http://127.0.0.1:{}", location.ports[HEALTH]));
        launch.args.push("--client-cert-auth".to_owned());
        for (option, file) in [("cert", "server.pem"), ("key", "server.key"), ("trusted-ca", "ca.pem")] {
            launch.args.push(format!("--{option}-file={}/{file}", location.data));
            launch.files.push((file.to_owned(), certificates.content(file)));
        }
        launch
    };
    DeploymentSpec::new(&PRODUCT, vec![NodeSpec::new("member-1", plan, ready).ports(3).health_port(HEALTH)])
}

/// The port of a secure member without TLS.
const HEALTH: usize = 2;

fn members(names: &[&'static str]) -> DeploymentSpec {
    let node = |name: &&'static str| NodeSpec::new(*name, member, ready).ports(2);
    DeploymentSpec::new(&PRODUCT, names.iter().map(node).collect())
}

fn member(locations: &[Location], index: usize) -> Launch {
    let location = &locations[index];
    let client = format!("http://127.0.0.1:{}", location.port());
    let peer = |location: &Location| format!("http://127.0.0.1:{}", location.ports[1]);
    let all: Vec<String> =
        locations.iter().enumerate().map(|(at, location)| format!("m{at}={}", peer(location))).collect();
    let args = [
        format!("--name=m{index}"),
        format!("--data-dir={}/etcd", location.data),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={}", peer(location)),
        format!("--initial-advertise-peer-urls={}", peer(location)),
        format!("--initial-cluster={}", all.join(",")),
        format!("--initial-cluster-token=tooz-{}", locations[0].port()),
        "--heartbeat-interval=100".to_owned(),
        "--election-timeout=1000".to_owned(),
        "--log-level=warn".to_owned(),
        "--logger=zap".to_owned(),
    ];
    Launch { args: args.to_vec(), ..Launch::default() }
}

fn ready(port: u16) -> BoxFuture<'static, io::Result<()>> {
    async move {
        match wire::http_get(port, "/health").await?.contains("\"true\"") {
            true => Ok(()),
            false => Err(io::Error::other("not healthy yet")),
        }
    }
    .boxed()
}

async fn version(port: u16) -> io::Result<String> {
    let reply = wire::http_get(port, "/version").await?;
    let version = reply.split("\"etcdserver\":\"").nth(1).and_then(|rest| rest.split('"').next());
    Ok(version.unwrap_or("unknown").to_owned())
}
