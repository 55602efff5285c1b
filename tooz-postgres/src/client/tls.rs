//! TLS by rustls, with the meanings that libpq gives to `sslmode`.

use std::path::Path;
use std::sync::Arc;

use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
};
use tooz_core::driver::support::read_pem;
use tooz_core::{Error, Result};

use crate::config::{Tls, Verify, invalid};

/// Reads the files. They are small, and this happens once a connection.
pub(super) fn connector(tls: &Tls) -> Result<MakeRustlsConnect> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Verifier { verify: tls.verify, chain: chain(tls, &provider)?, provider: provider.clone() };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid("TLS cannot be set up").with_source(error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let config = match (&tls.certificate, &tls.key) {
        (Some(certificate), Some(key)) => {
            let pem = read_pem("sslkey", key, "PRIVATE KEY")?;
            let secret =
                PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| unusable("sslkey", key, error))?;
            builder
                .with_client_auth_cert(certificates("sslcert", certificate)?, secret)
                .map_err(|error| unusable("sslcert", certificate, error))?
        }
        (None, None) => builder.with_no_client_auth(),
        _ => return Err(invalid("the options \"sslcert\" and \"sslkey\" are given together or not at all")),
    };
    Ok(MakeRustlsConnect::new(config))
}

/// What checks a certificate, unless nothing is to be checked.
fn chain(tls: &Tls, provider: &Arc<CryptoProvider>) -> Result<Option<Arc<WebPkiServerVerifier>>> {
    if tls.verify == Verify::Nothing {
        return Ok(None);
    }
    let found = match &tls.ca {
        Some(path) => certificates("sslrootcert", path)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found);
    let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    built
        .map(Some)
        .map_err(|error| invalid("no usable CA certificate; name one with \"sslrootcert\"").with_source(error))
}

fn certificates(option: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = read_pem(option, path, "CERTIFICATE")?;
    let read = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    read.map_err(|error| unusable(option, path, error))
}

fn unusable(option: &str, path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    invalid(format!("option \"{option}\" names {}, whose content cannot be used", path.display())).with_source(error)
}

/// Checks as much of a certificate as `sslmode` asks for.
#[derive(Debug)]
struct Verifier {
    verify: Verify,
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(TlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.verify == Verify::Authority => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        tokio_rustls::rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        tokio_rustls::rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
