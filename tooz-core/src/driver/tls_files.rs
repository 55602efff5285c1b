//! The files for TLS that the options of a URL name, in PEM format.

use std::path::PathBuf;

use super::support::read_pem;
use crate::{Error, ErrorKind, OptionReader, Result};

/// The CA to trust, and the certificate of the client with its key. Each may be missing.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    options: [&'static str; 3],
    ca: Option<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
}

/// The contents of [`TlsFiles`].
#[derive(Clone)]
pub struct TlsPems {
    /// The CA to trust.
    pub ca: Option<String>,
    /// The certificate chain of the client, and its key.
    pub identity: Option<(String, String)>,
}

impl TlsFiles {
    /// Reads the options that name the CA, the certificate and the key, in this order.
    ///
    /// # Errors
    /// `InvalidOption` if the URL names a certificate without a key, or a key without a certificate.
    pub fn from_options(reader: &OptionReader<'_>, options: [&'static str; 3]) -> Result<Self> {
        let [ca, certificate, key] = options;
        let ca = reader.get(ca)?;
        let identity = match (reader.get(certificate)?, reader.get(key)?) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => {
                let message = format!("{certificate} and {key} belong together: the client's certificate and its key");
                return Err(Error::new(ErrorKind::InvalidOption, message));
            }
        };
        Ok(Self { options, ca, identity })
    }

    /// Whether no option names a file.
    pub fn is_empty(&self) -> bool {
        self.ca.is_none() && self.identity.is_none()
    }

    /// Reads the files.
    ///
    /// # Errors
    /// `InvalidOption`, which names the option, the file and the cause.
    pub fn read(&self) -> Result<TlsPems> {
        let [ca, certificate, key] = self.options;
        let ca = self.ca.as_ref().map(|path| read_pem(ca, path, "CERTIFICATE")).transpose()?;
        let identity = match &self.identity {
            Some((chain, own)) => {
                Some((read_pem(certificate, chain, "CERTIFICATE")?, read_pem(key, own, "PRIVATE KEY")?))
            }
            None => None,
        };
        Ok(TlsPems { ca, identity })
    }
}

/// Shows no key.
impl std::fmt::Debug for TlsPems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsPems").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ServiceUrl;

    fn files(url: &str) -> Result<TlsFiles> {
        let url: ServiceUrl = url.parse()?;
        TlsFiles::from_options(&url.options(), ["ca", "cert", "key"])
    }

    #[test]
    fn a_certificate_needs_its_key() {
        assert!(files("etcd://h").unwrap().is_empty());
        assert!(!files("etcd://h?cert=/x&key=/y").unwrap().is_empty());
        for url in ["etcd://h?cert=/x", "etcd://h?ca=/z&key=/y"] {
            let error = files(url).unwrap_err();
            assert!(error.kind() == ErrorKind::InvalidOption && error.to_string().contains("cert and key"), "{error}");
        }
    }

    #[test]
    fn an_unusable_file_is_named_with_its_option() {
        let error = files("etcd://h?cert=/dev/null&key=/y").unwrap().read().unwrap_err().to_string();
        assert!(error.contains("\"cert\"") && error.contains("/dev/null"), "{error}");
    }
}
