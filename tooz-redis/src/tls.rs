//! TLS with the system's certificates or with a CA and a client certificate of one's own.

use std::path::Path;

use fred::rustls::pki_types::pem::PemObject;
use fred::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use fred::rustls::{ClientConfig, RootCertStore};
use fred::types::config::{TlsConfig, TlsConnector};
use tooz_core::{Error, ErrorKind, Result};

use crate::config::Tls;

/// Reads the files. They are small, and this happens once a session.
pub(crate) fn connector(tls: &Tls) -> Result<TlsConfig> {
    let builder = ClientConfig::builder_with_provider(fred::rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid("TLS cannot be set up").with_source(error))?
        .with_root_certificates(roots(tls.ca.as_deref())?);
    let config = match &tls.certificate {
        None => builder.with_no_client_auth(),
        // As in Python, one file may hold both.
        Some(certificate) => builder
            .with_client_auth_cert(certificates(certificate)?, key(tls.key.as_deref().unwrap_or(certificate))?)
            .map_err(|error| unreadable("ssl_certfile", certificate).with_source(error))?,
    };
    Ok(TlsConnector::from(config).into())
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let found = match ca {
        Some(path) => certificates(path)?,
        None => fred::rustls_native_certs::load_native_certs().certs,
    };
    let (added, _) = roots.add_parsable_certificates(found);
    match (added, ca) {
        (0, Some(path)) => Err(unreadable("ssl_ca_certs", path)),
        (0, None) => Err(invalid("this machine has no CA certificates; name some with \"ssl_ca_certs\"")),
        _ => Ok(roots),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    read.map_err(|error| unreadable("a certificate option", path).with_source(error))
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| unreadable("ssl_keyfile", path).with_source(error))
}

fn unreadable(option: &str, path: &Path) -> Error {
    invalid(format!("{option} names {}, which has no usable PEM content", path.display()))
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOption, message)
}
