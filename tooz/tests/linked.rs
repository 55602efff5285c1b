//! A program that names no driver has the drivers of the features that are enabled, and an error names the others.

use tooz::{ErrorKind, Registry};

const FEATURES: [(&str, &str, bool); 4] = [
    ("file:///x", "file", cfg!(all(feature = "file", unix))),
    ("redis://h", "redis", cfg!(feature = "redis")),
    ("etcd://h", "etcd", cfg!(feature = "etcd")),
    ("zookeeper://h", "zookeeper", cfg!(feature = "zookeeper")),
];

#[test]
fn the_linker_keeps_the_drivers_of_the_features() {
    for (url, feature, enabled) in FEATURES {
        let driver = Registry::linked().driver(&url.parse().unwrap());
        match driver {
            Ok(driver) => assert!(enabled && driver.info().name == feature, "{url}"),
            Err(error) => {
                assert!(!enabled && error.kind() == ErrorKind::NoDriverFound, "{url}: {error}");
                assert!(error.to_string().contains(&format!("cargo add tooz --features {feature}`")), "{error}");
            }
        }
    }
}

#[test]
fn tls_is_refused_where_its_feature_is_missing() {
    let urls = [("rediss://h", cfg!(feature = "redis")), ("etcds://h", cfg!(feature = "etcd"))];
    for (url, _) in urls.into_iter().filter(|(_, enabled)| *enabled) {
        match Registry::linked().driver(&url.parse().unwrap()) {
            Ok(_) => assert!(cfg!(feature = "tls"), "{url}"),
            Err(error) => {
                assert!(!cfg!(feature = "tls") && error.to_string().contains("cargo feature `tls`"), "{error}")
            }
        }
    }
}
