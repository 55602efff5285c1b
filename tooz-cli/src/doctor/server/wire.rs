//! One request and its reply over plain TCP.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a server may take.
pub(super) const LIMIT: Duration = Duration::from_secs(3);
/// More than the metrics of etcd have.
const LONGEST: u64 = 4 << 20;

/// Sends a request and reads until the server closes the connection.
pub(super) async fn exchange(address: &str, request: &[u8]) -> io::Result<String> {
    let talk = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request).await?;
        let mut reply = Vec::new();
        stream.take(LONGEST).read_to_end(&mut reply).await?;
        Ok(String::from_utf8_lossy(&reply).into_owned())
    };
    timeout(LIMIT, talk).await?
}

/// The body of the reply to an HTTP GET.
pub(super) async fn http_get(address: &str, path: &str) -> io::Result<String> {
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    let reply = exchange(address, request.as_bytes()).await?;
    match reply.split_once("\r\n\r\n") {
        Some((head, body)) if head.contains(" 200 ") => Ok(body.to_owned()),
        _ => Err(io::Error::other(format!("unexpected reply to GET {path}"))),
    }
}
