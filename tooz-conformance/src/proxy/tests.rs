//! The proxy against an echo server.

use std::io;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Direction, Proxy};

/// An echo server behind a proxy. The channel carries what the server read.
async fn echo() -> (Proxy, mpsc::UnboundedReceiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (seen, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let seen = seen.clone();
            tokio::spawn(async move {
                let mut chunk = [0; 100];
                while let Ok(count @ 1..) = stream.read(&mut chunk).await {
                    seen.send(chunk[..count].to_vec()).ok();
                    if stream.write_all(&chunk[..count]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (Proxy::start(address).await.unwrap(), received)
}

async fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(proxy.address()).await.unwrap()
}

/// Sends `word` and returns the answer: `TimedOut` after 200 ms, an empty string at the end of the connection.
async fn send(stream: &mut TcpStream, word: &str) -> io::Result<String> {
    stream.write_all(word.as_bytes()).await?;
    receive(stream).await
}

async fn receive(stream: &mut TcpStream) -> io::Result<String> {
    let mut chunk = [0; 100];
    let count = timeout(Duration::from_millis(200), stream.read(&mut chunk)).await??;
    Ok(String::from_utf8_lossy(&chunk[..count]).into_owned())
}

fn is_over(answer: &io::Result<String>) -> bool {
    match answer {
        Ok(text) => text.is_empty(),
        Err(error) => error.kind() != io::ErrorKind::TimedOut,
    }
}

fn is_silent(answer: &io::Result<String>) -> bool {
    answer.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

/// A server that answers each chunk, and sends a notification half a second later, behind a proxy.
async fn notifying() -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut chunk = [0; 100];
                while let Ok(1..) = stream.read(&mut chunk).await {
                    stream.write_all(b"answer").await.ok();
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    stream.write_all(b"notification").await.ok();
                }
            });
        }
    });
    Proxy::start(address).await.unwrap()
}

#[tokio::test]
async fn only_notifications_are_lost_and_their_connections_are_reset_at_the_end() {
    let proxy = notifying().await;
    let mut stream = connect(&proxy).await;
    proxy.drop_notifications();
    assert_eq!(send(&mut stream, "one").await.unwrap(), "answer");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(is_silent(&receive(&mut stream).await));
    assert_eq!(send(&mut stream, "two").await.unwrap(), "answer");
    proxy.heal().await.unwrap();
    assert!(is_over(&receive(&mut stream).await));
    let mut stream = connect(&proxy).await;
    assert_eq!(send(&mut stream, "three").await.unwrap(), "answer");
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(receive(&mut stream).await.unwrap(), "notification");
}

#[tokio::test]
async fn forwards_and_counts() {
    let (proxy, _seen) = echo().await;
    let mut stream = connect(&proxy).await;
    assert_eq!(send(&mut stream, "one").await.unwrap(), "one");
    assert_eq!(send(&mut stream, "two").await.unwrap(), "two");
    let traffic = proxy.traffic();
    assert_eq!((traffic.bytes_to_server, traffic.bytes_to_client), (6, 6));
    assert_eq!((traffic.chunks_to_server, traffic.connections), (2, 1));
}

#[tokio::test]
async fn cut_ends_connections_and_serves_new_ones() {
    let (proxy, _seen) = echo().await;
    let mut stream = connect(&proxy).await;
    send(&mut stream, "one").await.unwrap();
    proxy.cut();
    assert!(is_over(&receive(&mut stream).await));
    assert_eq!(send(&mut connect(&proxy).await, "two").await.unwrap(), "two");
}

#[tokio::test]
async fn refuse_rejects_connections_until_healed() {
    let (proxy, _seen) = echo().await;
    let mut stream = connect(&proxy).await;
    proxy.refuse();
    assert!(is_over(&send(&mut stream, "one").await));
    let refused = async {
        while TcpStream::connect(proxy.address()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(2), refused).await.unwrap();
    proxy.heal().await.unwrap();
    assert_eq!(send(&mut connect(&proxy).await, "two").await.unwrap(), "two");
}

#[tokio::test]
async fn a_black_hole_discards_bytes_and_resets_when_healed() {
    let (proxy, mut seen) = echo().await;
    let mut stream = connect(&proxy).await;
    send(&mut stream, "one").await.unwrap();
    proxy.black_hole(Direction::Both);
    assert!(is_silent(&send(&mut stream, "two").await));
    proxy.heal().await.unwrap();
    assert!(is_over(&receive(&mut stream).await));
    assert_eq!(seen.recv().await.unwrap(), b"one");
    assert!(seen.try_recv().is_err());
}

#[tokio::test]
async fn dropped_replies_were_requests_that_arrived() {
    let (proxy, mut seen) = echo().await;
    let mut stream = connect(&proxy).await;
    proxy.drop_replies();
    assert!(is_silent(&send(&mut stream, "one").await));
    assert_eq!(seen.recv().await.unwrap(), b"one");
    assert!(is_silent(&send(&mut stream, "two").await), "a lost reply has reset the connection before the fault ended");
    proxy.heal().await.unwrap();
    assert!(is_over(&receive(&mut stream).await));
}

#[tokio::test]
async fn held_bytes_arrive_when_healed() {
    let (proxy, mut seen) = echo().await;
    let mut stream = connect(&proxy).await;
    proxy.hold(Direction::ToServer);
    assert!(is_silent(&send(&mut stream, "one").await));
    assert!(seen.try_recv().is_err());
    proxy.heal().await.unwrap();
    assert_eq!(receive(&mut stream).await.unwrap(), "one");
}

#[tokio::test]
async fn delay_delays_both_ways() {
    let (proxy, _seen) = echo().await;
    let mut stream = connect(&proxy).await;
    proxy.delay(Duration::from_millis(40));
    let start = Instant::now();
    assert_eq!(send(&mut stream, "one").await.unwrap(), "one");
    assert!(start.elapsed() >= Duration::from_millis(80));
}

#[tokio::test]
async fn cut_after_loses_only_the_reply() {
    let (proxy, mut seen) = echo().await;
    let mut stream = connect(&proxy).await;
    proxy.cut_after(2);
    assert_eq!(send(&mut stream, "one").await.unwrap(), "one");
    assert!(is_over(&send(&mut stream, "two").await));
    assert_eq!(seen.recv().await.unwrap(), b"one");
    assert_eq!(seen.recv().await.unwrap(), b"two");
    assert_eq!(send(&mut connect(&proxy).await, "three").await.unwrap(), "three");
}
