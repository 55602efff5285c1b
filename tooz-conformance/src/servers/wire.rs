//! The few bytes of each server's protocol that show whether it serves, without a client library.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const MARKER: &str = "end";
const LIMIT: Duration = Duration::from_secs(2);

/// Sends one command to a Redis server and returns the reply as text. An error reply is an `Err`.
pub(crate) async fn redis(port: u16, command: &[&str]) -> io::Result<String> {
    let mut request = Vec::new();
    encode(&mut request, command);
    // The reply to a second command marks the end of the first reply, so that replies need not be parsed.
    encode(&mut request, &["PING", MARKER]);
    let text = exchange(port, &request, |reply| reply.ends_with(b"end\r\n") || reply.starts_with(b"-")).await?;
    match text.strip_prefix('-') {
        Some(error) => Err(io::Error::other(error.lines().next().unwrap_or_default().to_owned())),
        None => Ok(text.split(&format!("${}\r\n{MARKER}", MARKER.len())).next().unwrap_or_default().to_owned()),
    }
}

/// Connects to a PostgreSQL server as `user`, sends `sql` and returns everything that the server says. A server that asks for
/// a password serves too.
pub(crate) async fn postgres(port: u16, user: &str, sql: &str) -> io::Result<String> {
    let length = |bytes: usize| u32::try_from(bytes + 4).map(u32::to_be_bytes).map_err(io::Error::other);
    let parameters = [&u32::to_be_bytes(3 << 16), format!("user\0{user}\0database\0postgres\0\0").as_bytes()].concat();
    let query = format!("{sql}\0");
    let startup = [&length(parameters.len())?, &parameters[..]].concat();
    let request = [&startup[..], b"Q", &length(query.len())?, query.as_bytes()].concat();
    let asks_for_password =
        |reply: &[u8]| reply.starts_with(b"R") && !reply[1..].starts_with(&[0, 0, 0, 8, 0, 0, 0, 0]);
    // The server is ready once after the startup, and once after the query.
    let is_answered = |reply: &[u8]| reply.windows(6).filter(|bytes| bytes == b"Z\0\0\0\x05I").count() == 2;
    let done =
        |reply: &[u8]| reply.len() > 8 && (is_answered(reply) || reply.starts_with(b"E") || asks_for_password(reply));
    let text = exchange(port, &request, done).await?;
    match text.strip_prefix('E') {
        Some(error) => Err(io::Error::other(error.replace('\0', " "))),
        None if text.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
        None => Ok(text),
    }
}

/// Sends one of ZooKeeper's four-letter words and returns the answer.
pub(crate) async fn four_letters(port: u16, word: &str) -> io::Result<String> {
    exchange(port, word.as_bytes(), |_| false).await
}

/// Sends `GET path` and returns head and body.
pub(crate) async fn http_get(port: u16, path: &str) -> io::Result<String> {
    let request = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n");
    exchange(port, request.as_bytes(), |_| false).await
}

/// Connects, sends, and reads until `done` or the end of the stream.
async fn exchange(port: u16, request: &[u8], done: impl Fn(&[u8]) -> bool + Send + Sync) -> io::Result<String> {
    let talk = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(request).await?;
        let mut reply = Vec::new();
        let mut chunk = [0; 4096];
        while !done(&reply) {
            match stream.read(&mut chunk).await? {
                0 => break,
                count => reply.extend_from_slice(&chunk[..count]),
            }
        }
        Ok(String::from_utf8_lossy(&reply).into_owned())
    };
    timeout(LIMIT, talk).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

fn encode(request: &mut Vec<u8>, command: &[&str]) {
    request.extend_from_slice(format!("*{}\r\n", command.len()).as_bytes());
    for word in command {
        request.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
}
