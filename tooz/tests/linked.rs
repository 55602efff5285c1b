//! A program that names no driver has the drivers of the features that are enabled, and an error names the others.

use std::time::Duration;

use tooz::{ErrorKind, Registry};

const FEATURES: [(&str, &str, bool); 5] = [
    ("file:///x", "file", cfg!(all(feature = "file", target_os = "linux"))),
    ("redis://h", "redis", cfg!(feature = "redis")),
    ("etcd://h", "etcd", cfg!(feature = "etcd")),
    ("zookeeper://h", "zookeeper", cfg!(feature = "zookeeper")),
    ("postgres://h/d", "postgres", cfg!(feature = "postgres")),
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

/// No linked driver adds a type that `tooz::Error` is made from, so the compiler infers the error of the work.
#[tokio::test]
async fn a_question_mark_behind_run_needs_no_error_type() -> tooz::Result<()> {
    let shutdown = tooz::CancellationToken::new();
    tooz::scope("memory://inferred", |coordinator| async move {
        let guard = coordinator.lock("l").acquire().await?;
        guard.run(async { Ok(()) }).await?;
        guard.release().await?;
        coordinator.election("e").lead(&shutdown, async |_| Ok(())).await?;
        coordinator.lock("l").once_in(Duration::from_secs(1), async |_| Ok(())).await?;
        Ok(())
    })
    .await?;
    Ok(())
}

#[test]
fn tls_is_refused_where_its_feature_is_missing() {
    let tls = cfg!(feature = "tls");
    for (url, enabled, tls) in
        [("rediss://h", cfg!(feature = "redis"), tls), ("etcds://h", cfg!(feature = "etcd"), tls)]
    {
        match Registry::linked().driver(&url.parse().unwrap()) {
            Ok(_) => assert!(tls, "{url}"),
            Err(error) if enabled => {
                assert!(!tls && error.to_string().contains("cargo feature `tls`"), "{error}");
            }
            Err(_) => {}
        }
    }
}
