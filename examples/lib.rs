//! What the examples share: connecting to the backend that `TOOZ_BACKEND` names, or to a directory of their own.

use tooz_core::{Coordinator, Result};

// Each of these lines links a driver; without it the scheme would not be found.
#[cfg(feature = "etcd")]
use tooz_etcd as _;
use tooz_file as _;
#[cfg(feature = "redis")]
use tooz_redis as _;
#[cfg(feature = "zookeeper")]
use tooz_zookeeper as _;

/// The URL in `TOOZ_BACKEND`, or a directory under the system's temporary one, so that all examples on a host meet.
///
/// The other drivers are features: `cargo run -p tooz-examples --features redis --example quickstart`.
pub fn backend() -> String {
    let own = || format!("file://{}", std::env::temp_dir().join("tooz-examples").display());
    std::env::var("TOOZ_BACKEND").unwrap_or_else(|_| own())
}

/// Connects to [`backend`].
///
/// # Errors
/// As [`tooz_core::Builder::connect`].
pub async fn connect() -> Result<Coordinator> {
    Coordinator::builder(backend()).namespace("tooz-examples").connect().await
}
