//! etcd: a single member, three, and one that speaks TLS alone.

use std::io;
use std::sync::{Arc, LazyLock};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::certificates::Certificates;
use super::spec::{DeploymentSpec, Launch, NodeSpec, Place, Product};
use super::wire;

/// etcd. It has no stock image with a short name; `TOOZ_TEST_ETCD_IMAGE` names one.
pub static PRODUCT: Product = Product {
    name: "etcd",
    image: None,
    local_image: "tooz-test/etcd:bookworm",
    programs: &["etcd"],
    package: "etcd-server",
    version: |port| version(port).boxed(),
};

/// One member.
pub fn single() -> DeploymentSpec {
    members(&["member-1"])
}

/// One member with further arguments.
pub fn with_args(args: &'static [&'static str]) -> DeploymentSpec {
    let plan = move |places: &[Place], index: usize| {
        let mut launch = member(places, index);
        launch.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        launch
    };
    DeploymentSpec::new(&PRODUCT, vec![NodeSpec::new("member-1", plan, ready).ports(2)])
}

/// Three members, of which any two serve.
pub fn three() -> DeploymentSpec {
    members(&["member-1", "member-2", "member-3"])
}

/// One member whose clients must speak TLS and show a certificate. A further port is in the clear, and tells its health.
pub fn secure(certificates: Arc<LazyLock<Certificates>>) -> DeploymentSpec {
    let plan = move |places: &[Place], index: usize| {
        let mut launch = member(places, index);
        let place = &places[index];
        let http = format!("http://127.0.0.1:{}", place.port());
        for arg in &mut launch.args {
            *arg = arg.replace(&http, &http.replace("http", "https"));
        }
        launch.args.push(format!("--listen-metrics-urls=http://127.0.0.1:{}", place.ports[HEALTH]));
        launch.args.push("--client-cert-auth".to_owned());
        for (option, file) in [("cert", "server.pem"), ("key", "server.key"), ("trusted-ca", "ca.pem")] {
            launch.args.push(format!("--{option}-file={}/{file}", place.data));
            launch.files.push((file.to_owned(), certificates.content(file)));
        }
        launch
    };
    DeploymentSpec::new(&PRODUCT, vec![NodeSpec::new("member-1", plan, ready).ports(3).asked_at(HEALTH)])
}

/// The port of a secure member that is in the clear.
const HEALTH: usize = 2;

fn members(names: &[&'static str]) -> DeploymentSpec {
    let node = |name: &&'static str| NodeSpec::new(*name, member, ready).ports(2);
    DeploymentSpec::new(&PRODUCT, names.iter().map(node).collect())
}

fn member(places: &[Place], index: usize) -> Launch {
    let place = &places[index];
    let client = format!("http://127.0.0.1:{}", place.port());
    let peer = |place: &Place| format!("http://127.0.0.1:{}", place.ports[1]);
    let all: Vec<String> = places.iter().enumerate().map(|(at, place)| format!("m{at}={}", peer(place))).collect();
    let args = [
        format!("--name=m{index}"),
        format!("--data-dir={}/etcd", place.data),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={}", peer(place)),
        format!("--initial-advertise-peer-urls={}", peer(place)),
        format!("--initial-cluster={}", all.join(",")),
        format!("--initial-cluster-token=tooz-{}", places[0].port()),
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
