//! Connects the examples to the backend that the variable `TOOZ_BACKEND` names, or to a directory of the user.

use tooz_core::{Coordinator, Result};

// Naming a driver's crate links it; without that, its URLs would be unknown.
#[cfg(feature = "etcd")]
use tooz_etcd as _;
use tooz_file as _;
#[cfg(feature = "redis")]
use tooz_redis as _;
#[cfg(feature = "zookeeper")]
use tooz_zookeeper as _;

/// The URL in `TOOZ_BACKEND`, or a directory of this user, so that the user's examples meet each other.
///
/// The server drivers are features: `cargo run -p tooz-examples --features redis --example quickstart`.
pub fn backend_url() -> String {
    std::env::var("TOOZ_BACKEND").unwrap_or_else(|_| {
        let user = std::env::var("USER").unwrap_or_else(|_| "user".to_owned());
        let directory = std::env::temp_dir().join(format!("tooz-examples-{user}"));
        format!("file://{}", directory.display())
    })
}

/// Connects to [`backend_url`].
///
/// # Errors
/// As [`tooz_core::Builder::connect`].
pub async fn connect() -> Result<Coordinator> {
    Coordinator::builder(backend_url()).namespace("tooz-examples").connect().await
}
