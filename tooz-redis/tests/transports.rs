//! TLS with a CA and a client certificate from files, and Unix sockets.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use support::{Server, TIMEOUT, acquire, lock, open};
use tooz_core::ErrorKind;

/// Files that openssl makes for one test.
struct Certificates(PathBuf);

impl Certificates {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("tooz-redis-tls-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("ext"), "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
            .unwrap();
        openssl(&directory, "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca");
        for name in ["server", "client"] {
            openssl(
                &directory,
                &format!("req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"),
            );
            openssl(
                &directory,
                &format!(
                    "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem -days 2 -extfile ext"
                ),
            );
        }
        Self(directory)
    }

    fn path(&self, file: &str) -> String {
        self.0.join(file).display().to_string()
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn openssl(directory: &Path, words: &str) {
    let command = Command::new("openssl").args(words.split(' ')).current_dir(directory).stderr(Stdio::null()).status();
    assert!(command.expect("openssl must be on PATH").success(), "openssl {words}");
}

#[tokio::test]
async fn tls_checks_the_server_and_shows_the_client() {
    let files = Certificates::new("both");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = [
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &files.path("server.pem"),
        "--tls-key-file",
        &files.path("server.key"),
        "--tls-ca-cert-file",
        &files.path("ca.pem"),
    ];
    let _server = Server::start(&settings).await;
    let (ca, certificate, key) = (files.path("ca.pem"), files.path("client.pem"), files.path("client.key"));
    let trusting = format!("rediss://localhost:{port}?ssl_ca_certs={ca}");
    let session = open(&format!("{trusting}&ssl_certfile={certificate}&ssl_keyfile={key}"), "a").await.unwrap();
    acquire(&*session, &lock("x")).await.unwrap();
    let as_python =
        format!("redis://127.0.0.1:{port}?ssl=true&ssl_ca_certs={ca}&ssl_certfile={certificate}&ssl_keyfile={key}");
    open(&as_python, "a").await.unwrap();

    let began = Instant::now();
    let error = open(&format!("redis://localhost:{port}"), "a").await.unwrap_err();
    assert!(error.to_string().contains("a scheme with TLS, as rediss"), "{error}");
    assert!(began.elapsed() < TIMEOUT, "it took {:?}", began.elapsed());
    let error = open(&trusting, "a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AuthFailed, "the server asks for a certificate: {error}");
    let error = open(&format!("rediss://localhost:{port}"), "a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AuthFailed, "no CA vouches for the server: {error}");
    let error = open(&format!("rediss://localhost:{port}?ssl_ca_certs={key}"), "a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOption, "{error}");
}

#[tokio::test]
async fn tls_to_a_plain_port_is_an_error_at_once() {
    let server = Server::start(&[]).await;
    let began = Instant::now();
    let error = open(&format!("rediss://127.0.0.1:{}", server.port), "a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidUrl, "{error}");
    assert!(error.to_string().contains("does not use TLS"), "{error}");
    assert!(began.elapsed() < TIMEOUT, "it took {:?}", began.elapsed());
}

#[tokio::test]
async fn a_unix_socket_is_a_path() {
    let path = std::env::temp_dir().join(format!("tooz-redis-{}.sock", std::process::id())).display().to_string();
    let server = Server::start(&["--unixsocket", &path]).await;
    let session = open(&format!("redis://{path}?db=1"), "a").await.unwrap();
    acquire(&*session, &lock("x")).await.unwrap();
    let info = server.ask(&["INFO", "keyspace"]).await.unwrap().into_string().unwrap();
    assert!(info.contains("db1:"), "{info}");
    drop(server);
    let error = open(&format!("redis://{path}"), "a").await.unwrap_err();
    assert!(error.kind() == ErrorKind::Unavailable && error.to_string().contains(&path), "{error}");
}
