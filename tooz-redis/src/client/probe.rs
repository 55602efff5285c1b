//! Whether a server that was expected to use TLS answers without it.
//!
//! Redis takes the first message of a TLS handshake for the beginning of a command, and waits for the rest. So a handshake
//! that takes long is a reason to send a command without TLS.

use std::future::pending;
use std::io;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::config::{Config, Topology};

/// How long a handshake may take before the driver sends a command without TLS.
const PATIENCE: Duration = Duration::from_millis(200);

/// Completes if a server that should use TLS answers without it, and never otherwise.
pub(super) async fn answers_without_tls(config: &Config) {
    let address = match &config.topology {
        Topology::Single(host, port) => Some((host, port)),
        Topology::Sentinel { hosts, .. } | Topology::Cluster(hosts) => hosts.first().map(|(host, port)| (host, port)),
        Topology::Unix(_) => None,
    };
    if let Some((host, port)) = address.filter(|_| config.tls.is_some()) {
        tokio::time::sleep(PATIENCE).await;
        if matches!(first_byte(host, *port).await, Ok(b'+' | b'-')) {
            return;
        }
    }
    pending().await
}

/// The first byte of the reply to PING.
async fn first_byte(host: &str, port: u16) -> io::Result<u8> {
    let (stream, mut byte) = (TcpStream::connect((host, port)).await?, [0]);
    stream.writable().await?;
    stream.try_write(b"PING\r\n")?;
    stream.readable().await?;
    stream.try_read(&mut byte)?;
    Ok(byte[0])
}
