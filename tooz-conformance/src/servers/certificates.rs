//! Certificates for one run: an authority, a server and a client that it signed, and a stranger that it did not sign.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

/// How long a server may take to answer.
const LIMIT: Duration = Duration::from_secs(5);

/// PEM files made by openssl. They are removed when this is dropped.
#[derive(Debug)]
pub struct Certificates(TempDir);

impl Certificates {
    /// Makes `ca`; `server` and `client`, which `ca` signs for 127.0.0.1; and `stranger`, which no authority signs.
    /// Each has a `.pem` and a `.key` file.
    ///
    /// # Errors
    /// openssl is not installed, or it fails.
    pub fn make() -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("tooz-certificates-").tempdir()?;
        let new = "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        for name in ["ca", "stranger"] {
            openssl(&directory, &format!("{new} -x509 -keyout {name}.key -out {name}.pem -days 2 -subj /CN={name}"))?;
        }
        std::fs::write(directory.path().join("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n")?;
        for name in ["server", "client"] {
            openssl(&directory, &format!("{new} -keyout {name}.key -out {name}.csr -subj /CN={name}"))?;
            let sign = "x509 -req -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names";
            openssl(&directory, &format!("{sign} -in {name}.csr -out {name}.pem"))?;
        }
        Ok(Self(directory))
    }

    /// The path of a file, such as `ca.pem`.
    pub fn path(&self, file: &str) -> String {
        self.0.path().join(file).display().to_string()
    }

    /// Sends a request to a server over TLS, with the client certificate, and returns the answer up to the end of the
    /// connection.
    pub(super) async fn request(&self, port: u16, words: &str) -> io::Result<String> {
        let talk = format!("s_client -quiet -connect 127.0.0.1:{port} -CAfile ca.pem -cert client.pem -key client.key");
        let mut command = tokio::process::Command::new("openssl");
        command.args(talk.split(' ')).current_dir(self.0.path()).kill_on_drop(true);
        let mut openssl = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        if let Some(mut stdin) = openssl.stdin.take() {
            stdin.write_all(words.as_bytes()).await?;
        }
        let output = timeout(LIMIT, openssl.wait_with_output()).await??;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The content of a file. It is empty if the file does not exist, and the server then reports that.
    pub(super) fn content(&self, file: &str) -> String {
        std::fs::read_to_string(self.0.path().join(file)).unwrap_or_default()
    }
}

fn openssl(directory: impl AsRef<Path>, words: &str) -> io::Result<()> {
    let output = Command::new("openssl").args(words.split(' ')).current_dir(directory).stdin(Stdio::null()).output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("openssl {words}: {}", String::from_utf8_lossy(&output.stderr)))),
    }
}
