//! The choice of the backend: `--url`, else the variable `TOOZ_BACKEND`, else a directory of the user.

use std::path::PathBuf;

use clap::Args;
use tooz::{Coordinator, ServiceUrl};

use crate::exit::{Failure, Result, USAGE};

/// The variable that names the backend.
const VARIABLE: &str = "TOOZ_BACKEND";

/// Where the backend is.
#[derive(Args, Clone, Debug)]
pub(crate) struct Backend {
    /// The URL of the backend, such as redis://host:6379, etcd://host:2379, zookeeper://host:2181, postgres://host/database or file:///directory.
    ///
    /// Options follow as in redis://host?ttl=30s&namespace=blue. Other users can see the arguments of a program, so
    /// put a URL with a password into the variable TOOZ_BACKEND. Default: a directory of the user, for the programs of
    /// one host.
    #[arg(long, global = true, env = VARIABLE, hide_env_values = true, value_name = "URL", display_order = 900)]
    url: Option<String>,
}

impl Backend {
    /// Connects with a session of its own.
    pub(crate) async fn connect(&self) -> Result<Coordinator> {
        Ok(Coordinator::builder(self.url()?).registry(tooz::registry()).connect().await?)
    }

    /// The URL that was chosen, whose `Display` shows no credentials.
    pub(crate) fn parsed(&self) -> Result<ServiceUrl> {
        Ok(self.url()?.parse()?)
    }

    fn url(&self) -> Result<String> {
        let url = match &self.url {
            Some(url) => url.clone(),
            None => format!("file://{}", user_directory()?.display()),
        };
        match url.starts_with("memory:") {
            true => Err(Failure::new(
                USAGE,
                "memory:// is private to one process, so a lock there excludes no other; use file:///directory on one \
                 host, or a server",
            )),
            false => Ok(url),
        }
    }
}

/// A directory that is the same in a terminal, in cron and in a service of one user, so only the home directory counts:
/// the variables of the XDG specification differ between them.
fn user_directory() -> Result<PathBuf> {
    match std::env::var_os("HOME").filter(|home| !home.is_empty()) {
        Some(home) => Ok(PathBuf::from(home).join(".local/state/tooz")),
        None => Err(Failure::new(USAGE, "there is neither --url nor TOOZ_BACKEND nor HOME; name a backend with --url")),
    }
}
