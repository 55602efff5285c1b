//! The two client crates behind one trait: zookeeper-async, or with the feature `tls` zookeeper-client, which knows TLS.

mod api;
#[cfg(not(feature = "tls"))]
mod tcp_dialer;
#[cfg(feature = "tls")]
mod tls_dialer;
#[cfg(not(feature = "tls"))]
mod zookeeper_async;
#[cfg(feature = "tls")]
mod zookeeper_client;

pub(crate) use self::api::{Backend, CreateMode, SUPPORTS_TLS, Stat};
pub(super) use self::api::{Stream, Target};
#[cfg(not(feature = "tls"))]
pub(super) use self::tcp_dialer::Dialer;
#[cfg(feature = "tls")]
pub(super) use self::tls_dialer::Dialer;
#[cfg(not(feature = "tls"))]
pub(super) use self::zookeeper_async::connect;
#[cfg(feature = "tls")]
pub(super) use self::zookeeper_client::connect;
