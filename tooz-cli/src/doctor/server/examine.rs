//! Chooses what to ask by the scheme of the URL.

use tooz::ServiceUrl;

use super::super::check::Check;
#[cfg(feature = "postgres")]
use super::postgres;
use super::{etcd, redis, zookeeper};

/// How to ask a server, by its address.
enum Product {
    Redis,
    Etcd,
    ZooKeeper,
    #[cfg(feature = "postgres")]
    Postgres,
}

/// Examines each server of the URL.
pub(in crate::doctor) async fn examine(url: &ServiceUrl) -> Vec<Check> {
    let (product, port) = match url.scheme() {
        "redis" | "valkey" | "redis-cluster" | "valkey-cluster" => (Product::Redis, 6379),
        "etcd" | "etcd3+http" => (Product::Etcd, 2379),
        "zookeeper" | "zk" | "kazoo" => (Product::ZooKeeper, 2181),
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => (Product::Postgres, 5432),
        "file" => return Vec::new(),
        scheme => return vec![Check::ok("server", format!("settings are not examined over {scheme}://"))],
    };
    let mut checks = Vec::new();
    for host in url.hosts() {
        let address = host.with_default_port(port);
        let found = match product {
            Product::Redis => redis::examine(&address, url).await,
            Product::Etcd => etcd::examine(&address).await,
            Product::ZooKeeper => zookeeper::examine(&address).await,
            #[cfg(feature = "postgres")]
            Product::Postgres => postgres::examine(host, url).await,
        };
        checks.extend(found.unwrap_or_else(|error| {
            vec![Check::warn(format!("server {address}"), error.to_string(), "its settings were not examined")]
        }));
    }
    checks
}
