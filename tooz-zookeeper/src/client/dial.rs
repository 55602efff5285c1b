//! Connections of our own, beside those of the library: its errors do not tell why a server cannot be spoken to.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

#[cfg(feature = "tls")]
use super::secure::Secure;
use super::{Answer, Fault};
use crate::config::Config;

/// Bytes to and from a server, whatever carries them.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects as the URL says.
pub(super) struct Dialer {
    #[cfg(feature = "tls")]
    secure: Option<Secure>,
}

impl Dialer {
    /// Fails if the files that the URL names cannot be used.
    #[cfg(feature = "tls")]
    pub(super) fn new(config: &Config) -> Answer<Self> {
        Ok(Self { secure: config.tls.as_ref().map(Secure::new).transpose()? })
    }

    #[cfg(not(feature = "tls"))]
    #[expect(clippy::unnecessary_wraps, reason = "the one for TLS may fail")]
    pub(super) fn new(_: &Config) -> Answer<Self> {
        Ok(Self {})
    }

    /// A connection to `addr`, which `host` stands for.
    #[cfg_attr(not(feature = "tls"), expect(unused_variables, reason = "a certificate is for a name"))]
    pub(super) async fn dial(&self, host: &str, addr: SocketAddr) -> Answer<Box<dyn Stream>> {
        let stream = TcpStream::connect(addr).await.map_err(|error| Fault::Away(error.to_string()))?;
        #[cfg(feature = "tls")]
        if let Some(secure) = &self.secure {
            return Ok(Box::new(secure.shake_hands(host, stream).await?));
        }
        Ok(Box::new(stream))
    }
}
