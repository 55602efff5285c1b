//! URLs and the options that they lead to.

use super::*;

fn read(url: &str) -> Result<Config> {
    Config::from_url(&url.parse()?)
}

#[test]
fn a_plain_url_names_host_login_and_database() {
    let config = read("redis://me:p%40ss@h/3?ttl=5s").unwrap();
    assert_eq!(config.address, "h:6379");
    assert_eq!((config.login.username.as_deref(), config.login.password.as_deref()), (Some("me"), Some("p@ss")));
    assert_eq!(config.database, Some(3));
    assert!(config.tls.is_none());
    assert!(!format!("{config:?}").contains("p@ss"));
}

#[test]
fn urls_of_python_tooz_keep_their_meaning() {
    let url = "redis://:pw@h1:26379?sentinel=main&sentinel_fallback=h2:26380&sentinel_fallback=[::1]:5&db=2\
               &sentinel_password=sp&retry_on_timeout=true&socket_timeout=1.5&encoding=utf8&socket_keepalive=1\
               &membership_timeout=20&lock_timeout=12&timeout=30&namespace=_tooz";
    let config = read(url).unwrap();
    assert_eq!(config.address, "main of the sentinels h1:26379,h2:26380,::1:5");
    assert_eq!(config.sentinel_login.password.as_deref(), Some("sp"));
    assert_eq!((config.database, config.ttl), (Some(2), Some(Duration::from_secs(12))));
    assert_eq!(config.socket_timeout, Some(Duration::from_millis(1500)));
    let config = read("redis:///run/redis.sock?db=1").unwrap();
    assert_eq!((config.address.as_str(), config.database), ("/run/redis.sock", Some(1)));
}

#[test]
fn schemes_choose_topology_and_tls() {
    for (url, address, tls) in [
        ("valkey://h", "h:6379", false),
        ("valkeys://h", "h:6379", true),
        ("rediss://h:1?ssl_ca_certs=/ca.pem", "h:1", true),
        ("redis://h?ssl=true", "h:6379", true),
        ("redis-sentinel://a,b:1", "mymaster of the sentinels a:26379,b:1", false),
        ("rediss-cluster://a,b:1", "the cluster a:6379,b:1", true),
    ] {
        let config = read(url).unwrap();
        assert_eq!((config.address.as_str(), config.tls.is_some()), (address, tls), "{url}");
    }
}

#[test]
fn contradictions_are_refused() {
    for url in [
        "redis://h?sentinel_fallback=h2:1",
        "redis://h/1?db=2",
        "redis://h/300",
        "redis-cluster://h/1",
        "redis-cluster://h?sentinel=x",
        "redis://h?ssl_ca_certs=/ca.pem",
        "rediss://h?ssl_keyfile=/k.pem",
        "redis://h?encoding=latin1",
        "redis://h?tiemout=1",
        "redis://h?shards=0",
        "redis-cluster://h?shards=257",
        "rediss://h?ssl=false",
        "valkeys-cluster://h?ssl=no",
    ] {
        assert_eq!(read(url).unwrap_err().kind(), ErrorKind::InvalidOption, "{url}");
    }
    for url in ["redis://", "redis://a,b", "redis://h/x", "redis-sentinel://", "redis-cluster:///x"] {
        assert_eq!(read(url).unwrap_err().kind(), ErrorKind::InvalidUrl, "{url}");
    }
    assert_eq!(read("redis://h?sentinel=x&ssl=1").unwrap_err().kind(), ErrorKind::Unsupported);
}
