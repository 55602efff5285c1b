//! The client crates behind one trait: zookeeper-async, and with the feature `tls` also zookeeper-client, which knows TLS.

mod api;
mod choice;
#[cfg(not(feature = "tls"))]
mod tcp_dialer;
#[cfg(feature = "tls")]
mod tls_dialer;
mod zookeeper_async;
#[cfg(feature = "tls")]
mod zookeeper_client;

pub(crate) use self::api::{Backend, CreateMode, Stat};
pub(super) use self::api::{Stream, Target};
pub(crate) use self::choice::SUPPORTS_TLS;
pub(super) use self::choice::connect;
#[cfg(not(feature = "tls"))]
pub(super) use self::tcp_dialer::Dialer;
#[cfg(feature = "tls")]
pub(super) use self::tls_dialer::Dialer;
