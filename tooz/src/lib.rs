//! Distributed locks, leader election, group membership and messaging behind one async API. A URL chooses the backend.
//!
//! This crate re-exports [`tooz_core`] and links the drivers that its features name, so it is the only one to add:
//!
//! ```sh
//! cargo add tooz --features redis
//! ```
//!
//! | Feature | URLs | Driver |
//! |---|---|---|
//! | | `memory://` | [`memory`], for tests |
//! | `file` (default) | `file://` | tooz-file: the processes of one host; on Unix |
//! | `redis` | `redis://`, `valkey://`, with TLS, Sentinel, Cluster | tooz-redis |
//! | `etcd` | `etcd://`, `etcds://` | tooz-etcd; the build needs `protoc` |
//! | `zookeeper` | `zookeeper://` | tooz-zookeeper |
//! | `tls` (default) | | TLS in each of these drivers |
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> tooz::Result<()> {
//! let coordinator = tooz::connect("memory://tour").await?;
//! let guard = coordinator.lock("nightly").acquire().await?;
//! println!("fencing token {}", guard.fencing_token());
//! guard.release().await?;
//! coordinator.close().await;
//! # Ok(()) }
//! ```
//!
//! # Static libraries
//!
//! Drivers register themselves at link time. The linker drops these registrations from a static library: pass
//! [`registry`] to [`Builder::registry`] there.

#[cfg(feature = "etcd")]
pub use tooz_etcd as etcd;
#[cfg(all(feature = "file", unix))]
pub use tooz_file as file;
#[cfg(feature = "redis")]
pub use tooz_redis as redis;
#[cfg(feature = "zookeeper")]
pub use tooz_zookeeper as zookeeper;

pub use tooz_core::*;

/// The memory driver and the drivers of the features that are enabled, whether or not the linker has kept their
/// registrations.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tooz::Result<()> {
/// let builder = tooz::Coordinator::builder("memory://x").registry(tooz::registry());
/// builder.connect().await?.close().await;
/// # Ok(()) }
/// ```
pub fn registry() -> Registry {
    Registry::with([
        memory::DRIVER,
        #[cfg(feature = "etcd")]
        etcd::DRIVER,
        #[cfg(all(feature = "file", unix))]
        file::DRIVER,
        #[cfg(feature = "redis")]
        redis::DRIVER,
        #[cfg(feature = "zookeeper")]
        zookeeper::DRIVER,
    ])
}
