//! Plain TCP connections for the [probe](crate::client::probe).

use std::net::SocketAddr;

use tokio::net::TcpStream;
use tooz_core::driver::TlsPems;

use super::Stream;
use crate::error::{Answer, unreachable};

/// Opens connections as the URL says.
pub(crate) struct Dialer;

impl Dialer {
    #[expect(clippy::unnecessary_wraps, reason = "the dialer for TLS may fail")]
    pub(crate) fn new(_: Option<&TlsPems>) -> Answer<Self> {
        Ok(Self)
    }

    /// Connects to `addr`, an address of `host`.
    pub(crate) async fn dial(&self, _host: &str, addr: SocketAddr) -> Answer<Box<dyn Stream>> {
        Ok(Box::new(TcpStream::connect(addr).await.map_err(unreachable)?))
    }
}
