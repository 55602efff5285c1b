//! How the client connects: timeouts, pings, user and certificates.

use std::time::Duration;

use etcd_client::ConnectOptions;
#[cfg(feature = "tls")]
use etcd_client::{Certificate, Identity, TlsOptions};
use tooz_core::Result;
#[cfg(feature = "tls")]
use tooz_core::driver::TlsFiles;

use crate::config::Config;

/// Whether URLs may ask for TLS.
pub(crate) const SUPPORTS_TLS: bool = cfg!(feature = "tls");

/// etcd ends connections that are pinged more often than every 5 s (its `--grpc-keepalive-min-time`), with all streams.
const PING_INTERVAL: Duration = Duration::from_secs(6);
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// The options of every connection. Reads the certificates.
pub(super) fn connect_options(config: &Config, timeout: Duration) -> Result<ConnectOptions> {
    let mut options = ConnectOptions::new()
        .with_connect_timeout(timeout)
        .with_keep_alive(PING_INTERVAL, PING_TIMEOUT)
        .with_keep_alive_while_idle(false)
        .with_require_leader(true);
    if let Some((name, password)) = &config.user {
        options = options.with_user(name, password).with_auto_token_refresh(true);
    }
    #[cfg(feature = "tls")]
    if let Some(tls) = &config.tls {
        options = options.with_tls(tls_options(tls)?);
    }
    Ok(options)
}

#[cfg(feature = "tls")]
fn tls_options(files: &TlsFiles) -> Result<TlsOptions> {
    let (pems, options) = (files.read()?, TlsOptions::new());
    let options = match pems.ca {
        Some(ca) => options.ca_certificate(Certificate::from_pem(ca)),
        None => options.with_native_roots(),
    };
    Ok(match pems.identity {
        Some((certificate, key)) => options.identity(Identity::from_pem(certificate, key)),
        None => options,
    })
}

#[cfg(all(test, feature = "tls"))]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_certificate_is_named() {
        let config = Config::new(&"etcds://h?ca_cert=/dev/null".parse().unwrap()).unwrap();
        let error = connect_options(&config, Duration::from_secs(1)).unwrap_err();
        assert!(error.to_string().contains("/dev/null"), "{error}");
    }
}
