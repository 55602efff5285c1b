//! A server that speaks TLS only and requests a certificate.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use tooz_conformance::servers::{Certificates, Deployment, etcd};
use tooz_conformance::{Context, Failure, ensure};
use tooz_core::{Coordinator, Error, ErrorKind};

use super::Outcome;

const LIMIT: Duration = Duration::from_secs(2);

pub(crate) async fn wrong_certificates_are_reported(context: Context) -> Outcome {
    let files: Arc<LazyLock<Certificates>> = Arc::new(LazyLock::new(|| Certificates::make().expect("openssl works")));
    let path = |file: &str| files.path(file);
    let identity = |owner: &str| {
        format!("&cert_cert={}&cert_key={}", path(&format!("{owner}.pem")), path(&format!("{owner}.key")))
    };
    let by = |ca: &str| format!("ca_cert={}", path(ca));
    let urls = [
        (by("stranger.pem") + &identity("client"), "ca_cert"),
        (by("ca.pem"), "cert_cert"),
        (by("ca.pem") + &identity("stranger"), "cert_cert"),
        (by("missing.pem"), "missing.pem"),
    ];
    let (good, plain) = (by("ca.pem") + &identity("client"), context.url().to_owned());
    let server = Deployment::start(&etcd::secure(files.clone())).await?;
    let address = server.addresses()[0].clone();
    for (options, says) in urls {
        let error = refusal(&format!("etcds://{address}?timeout=2s&{options}")).await?;
        ensure!(error.to_string().contains(says), "{options}: {error}");
    }
    let error = refusal(&format!("etcd://{address}?timeout=2s")).await?;
    ensure!(error.kind() == ErrorKind::Unavailable && error.to_string().contains("wants TLS"), "{error}");
    let error = refusal(&format!("{}?timeout=2s", plain.replace("etcd://", "etcds://"))).await?;
    ensure!(error.kind() == ErrorKind::Unavailable && error.to_string().contains("does not answer TLS"), "{error}");

    for scheme in ["etcds", "etcd3+https"] {
        let coordinator = Coordinator::builder(format!("{scheme}://{address}?{good}")).member("a").connect().await?;
        coordinator.lock("lock").acquire_timeout(LIMIT).await?.release().await?;
        coordinator.close().await;
    }
    server.remove().await?;
    Ok(())
}

/// The error of an attempt to connect, which must come in time.
async fn refusal(url: &str) -> Result<Error, Failure> {
    let before = Instant::now();
    let Err(error) = Coordinator::builder(url).member("a").connect().await else {
        return Err(Failure::new(format!("{url} must be refused")));
    };
    ensure!(before.elapsed() < LIMIT * 3, "{url} was refused after {:?}: {error}", before.elapsed());
    Ok(error)
}
