//! TCP and TLS connections for the [probe](crate::client::probe), with errors that say what to do.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, Error as TlsError, RootCertStore};
use tooz_core::driver::TlsPems;
use tooz_core::{Error, ErrorKind};

use super::Stream;
use crate::error::{Answer, Fault, unreachable};

/// Opens connections as the URL says.
pub(crate) struct Dialer(Option<Tls>);

struct Tls {
    connector: TlsConnector,
    has_identity: bool,
}

impl Dialer {
    /// Fails if the PEM files cannot be used.
    pub(crate) fn new(pem: Option<&TlsPems>) -> Answer<Self> {
        Ok(Self(pem.map(Tls::new).transpose()?))
    }

    /// Connects to `addr`, an address of `host`. A certificate must be valid for `host`.
    pub(crate) async fn dial(&self, host: &str, addr: SocketAddr) -> Answer<Box<dyn Stream>> {
        let stream = TcpStream::connect(addr).await.map_err(unreachable)?;
        match &self.0 {
            None => Ok(Box::new(stream)),
            Some(tls) => tls.handshake(host, stream).await,
        }
    }
}

impl Tls {
    fn new(pem: &TlsPems) -> Answer<Self> {
        // The client crate uses the provider of the process, and panics if two are compiled in and none was chosen.
        let _ = aws_lc_rs::default_provider().install_default();
        let mut roots = RootCertStore::empty();
        if let Some(ca) = &pem.ca {
            for certificate in certificates("ca", ca)? {
                roots.add(certificate).map_err(|error| unusable("ca", error))?;
            }
        }
        let trusting = ClientConfig::builder().with_root_certificates(roots);
        let config = match &pem.identity {
            None => trusting.with_no_client_auth(),
            Some((cert, key)) => {
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| unusable("keyfile", error))?;
                let chain = certificates("certfile", cert)?;
                trusting.with_client_auth_cert(chain, key).map_err(|error| unusable("certfile", error))?
            }
        };
        Ok(Self { connector: Arc::new(config).into(), has_identity: pem.identity.is_some() })
    }

    async fn handshake(&self, host: &str, stream: TcpStream) -> Answer<Box<dyn Stream>> {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(name).map_err(unreachable)?;
        match self.connector.connect(name, stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(self.explain(error).into()),
        }
    }

    fn explain(&self, error: std::io::Error) -> Error {
        match error.get_ref().and_then(|cause| cause.downcast_ref()) {
            Some(TlsError::InvalidCertificate(cause)) => {
                untrusted(format!("the server's certificate is not signed by an authority in \"ca\": {cause}"))
            }
            Some(TlsError::AlertReceived(alert)) if self.has_identity => {
                untrusted(format!("the server refuses the certificate in \"certfile\": {alert:?}"))
            }
            Some(TlsError::AlertReceived(alert)) => untrusted(format!(
                "the server asks for a client certificate; set \"certfile\" and \"keyfile\": {alert:?}"
            )),
            _ => unreachable(format!(
                "the port does not speak TLS; use the port of the server's secureClientPort, or leave out use_ssl: {error}"
            )),
        }
    }
}

fn certificates(option: &str, pem: &str) -> Answer<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    found.map_err(|error| unusable(option, error))
}

fn unusable(option: &str, cause: impl std::error::Error + Send + Sync + 'static) -> Fault {
    let message = format!("the PEM file of option \"{option}\" cannot be used");
    Error::new(ErrorKind::InvalidOption, message).with_source(cause).into()
}

fn untrusted(cause: String) -> Error {
    Error::new(ErrorKind::AuthFailed, "failed to set up TLS with ZooKeeper").with_source(cause)
}
