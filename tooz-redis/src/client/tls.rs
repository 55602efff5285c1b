//! TLS with the certificates of the system, or with a CA and a client certificate from files.

use std::path::Path;

use fred::rustls::pki_types::pem::PemObject;
use fred::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use fred::rustls::{ClientConfig, RootCertStore};
use fred::types::config::{TlsConfig, TlsConnector};
use tooz_core::driver::support::read_pem;
use tooz_core::{Error, ErrorKind, Result};

use crate::config::Tls;

/// Reads the files. They are small, and this happens once a client.
pub(super) fn connector(tls: &Tls) -> Result<TlsConfig> {
    let builder = ClientConfig::builder_with_provider(fred::rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid("TLS cannot be set up".to_owned()).with_source(error))?
        .with_root_certificates(roots(tls.ca.as_deref())?);
    let config = match &tls.certificate {
        None => builder.with_no_client_auth(),
        // As in Python, one file may hold both.
        Some(file) => builder
            .with_client_auth_cert(certificates("ssl_certfile", file)?, key(tls.key.as_deref().unwrap_or(file))?)
            .map_err(|error| unusable("ssl_certfile", file).with_source(error))?,
    };
    Ok(TlsConnector::from(config).into())
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let found = match ca {
        Some(path) => certificates("ssl_ca_certs", path)?,
        None => fred::rustls_native_certs::load_native_certs().certs,
    };
    let (added, _) = roots.add_parsable_certificates(found);
    match (added, ca) {
        (0, Some(path)) => Err(unusable("ssl_ca_certs", path)),
        (0, None) => Err(invalid("this machine has no CA certificates; name some with \"ssl_ca_certs\"".to_owned())),
        _ => Ok(roots),
    }
}

fn certificates(option: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = read_pem(option, path, "CERTIFICATE")?;
    let read = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    read.map_err(|error| unusable(option, path).with_source(error))
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let pem = read_pem("ssl_keyfile", path, "PRIVATE KEY")?;
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| unusable("ssl_keyfile", path).with_source(error))
}

fn unusable(option: &str, path: &Path) -> Error {
    invalid(format!("option \"{option}\" names {}, whose content cannot be used", path.display()))
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidOption, message)
}
