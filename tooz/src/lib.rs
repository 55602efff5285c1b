//! Locks, elections, groups and topics behind one async API; a URL chooses the backend. This is the page `README.md`.
//!
#![doc = include_str!("../README.md")]

#[cfg(feature = "signal")]
mod shutdown;

#[cfg(feature = "signal")]
pub use self::shutdown::shutdown;
#[cfg(feature = "etcd")]
pub use tooz_etcd as etcd;
#[cfg(all(feature = "file", target_os = "linux"))]
pub use tooz_file as file;
#[cfg(feature = "postgres")]
pub use tooz_postgres as postgres;
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
        #[cfg(all(feature = "file", target_os = "linux"))]
        file::DRIVER,
        #[cfg(feature = "postgres")]
        postgres::DRIVER,
        #[cfg(feature = "redis")]
        redis::DRIVER,
        #[cfg(feature = "zookeeper")]
        zookeeper::DRIVER,
    ])
}
