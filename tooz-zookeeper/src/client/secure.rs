//! TLS for the connections of our own, and what its failures mean.

use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, Error, RootCertStore};

use super::{Answer, Fault};
use crate::config::Tls;

/// Whom we trust and who we are.
pub(super) struct Secure {
    connector: TlsConnector,
    has_identity: bool,
}

impl Secure {
    pub(super) fn new(tls: &Tls) -> Answer<Self> {
        // The library takes the one of the process, and panics if two are compiled in and none was chosen.
        let _ = aws_lc_rs::default_provider().install_default();
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&tls.ca)? {
            roots.add(certificate).map_err(|error| unusable(&tls.ca, &error))?;
        }
        let trusting = ClientConfig::builder().with_root_certificates(roots);
        let config = match &tls.identity {
            None => trusting.with_no_client_auth(),
            Some((cert, key)) => {
                let secret = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| unusable(key, &error))?;
                trusting.with_client_auth_cert(certificates(cert)?, secret).map_err(|error| unusable(cert, &error))?
            }
        };
        Ok(Self { connector: Arc::new(config).into(), has_identity: tls.identity.is_some() })
    }

    pub(super) async fn shake_hands(&self, host: &str, stream: TcpStream) -> Answer<TlsStream<TcpStream>> {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(name).map_err(|error| Fault::Away(error.to_string()))?;
        self.connector.connect(name, stream).await.map_err(|error| {
            match error.get_ref().and_then(|cause| cause.downcast_ref()) {
                Some(Error::InvalidCertificate(cause)) => {
                    Fault::Untrusted(format!("the authorities in \"ca\" do not vouch for the server: {cause}"))
                }
                Some(Error::AlertReceived(alert)) if self.has_identity => {
                    Fault::Untrusted(format!("the server refuses the certificate in \"certfile\": {alert:?}"))
                }
                Some(Error::AlertReceived(alert)) => Fault::Untrusted(format!(
                    "the server refuses us without a certificate, which \"certfile\" and \"keyfile\" name: {alert:?}"
                )),
                _ => Fault::Away(format!("no TLS is spoken there: {error}")),
            }
        })
    }
}

fn certificates(path: &Path) -> Answer<Vec<CertificateDer<'static>>> {
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found.map_err(|error| unusable(path, &error))? {
        none if none.is_empty() => Err(unusable(path, &"there is no certificate in it")),
        found => Ok(found),
    }
}

fn read(path: &Path) -> Answer<Vec<u8>> {
    std::fs::read(path).map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, cause: &dyn std::fmt::Display) -> Fault {
    Fault::Option(format!("the PEM file {} cannot be used: {cause}", path.display()))
}
