//! Opens a session with the client crate that the URL chooses.

use std::sync::Arc;

#[cfg(feature = "tls")]
use super::zookeeper_client;
use super::{Backend, Target, zookeeper_async};
use crate::config::ClientCrate;
use crate::error::Answer;

/// Whether this build contains zookeeper-client, so that URLs may ask for it and for TLS.
pub(crate) const SUPPORTS_TLS: bool = cfg!(feature = "tls");

/// Opens a session, whose connection is not prepared.
pub(crate) async fn connect(target: Target) -> Answer<Arc<dyn Backend>> {
    match target.client {
        ClientCrate::ZookeeperAsync => zookeeper_async::connect(target).await,
        #[cfg(feature = "tls")]
        ClientCrate::ZookeeperClient => zookeeper_client::connect(target).await,
        #[cfg(not(feature = "tls"))]
        ClientCrate::ZookeeperClient => Err(crate::error::unexpected("this build lacks zookeeper-client").into()),
    }
}
