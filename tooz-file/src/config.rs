//! From a URL to typed options: `file:///directory` and nothing else.

use std::path::PathBuf;

use tooz_core::{Error, ErrorKind, Result, ServiceUrl};

/// What a URL says.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// An absolute path. The directory need not exist yet.
    pub(crate) directory: PathBuf,
}

impl Config {
    /// Reads the URL, without any I/O.
    pub(crate) fn from_url(url: &ServiceUrl) -> Result<Self> {
        url.options().finish()?;
        let unwanted = !url.hosts().is_empty() || url.username().is_some() || url.password().is_some();
        match url.path() {
            path if !unwanted && path.len() > 1 && !path.contains('\0') => Ok(Self { directory: path.into() }),
            _ => Err(Error::new(
                ErrorKind::InvalidUrl,
                "a file URL is file:///directory, with three slashes and an absolute path",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(url: &str) -> Result<PathBuf> {
        Config::from_url(&url.parse()?).map(|config| config.directory)
    }

    #[test]
    fn the_path_is_the_directory() {
        assert_eq!(directory("file:///var/lib/my%20locks").unwrap(), PathBuf::from("/var/lib/my locks"));
        assert_eq!(directory("file:///d?timeout=3s&ttl=10s").unwrap(), PathBuf::from("/d"));
    }

    #[test]
    fn hosts_and_unknown_options_are_refused() {
        for url in
            ["file://relative/dir", "file://localhost/d", "file://", "file:///", "file://u:p@/d", "file:///a%00b"]
        {
            assert_eq!(directory(url).unwrap_err().kind(), ErrorKind::InvalidUrl, "{url}");
        }
        assert_eq!(directory("file:///d?sync=full").unwrap_err().kind(), ErrorKind::InvalidOption);
    }
}
