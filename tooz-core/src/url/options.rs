//! Typed options of the query string of a URL. An unknown, repeated or malformed option is an error.

use std::cell::RefCell;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::suggestion::did_you_mean;
use crate::{Error, ErrorKind, Result};

/// The options that every URL may carry; the builder reads them.
const COMMON: [&str; 6] = ["heartbeat", "max_value_size", "member", "namespace", "timeout", "ttl"];

/// A type of option values.
pub trait OptionValue: Sized {
    /// What a valid value is, for the error text: `"a duration such as 500ms, 10s or 2m"`.
    const EXPECTED: &'static str;

    /// Parses a value. Returns `None` if it is malformed.
    fn parse(text: &str) -> Option<Self>;
}

/// Reads options by name and type. A driver calls [`finish`](OptionReader::finish) at the end, which refuses every option
/// that it has not read.
///
/// ```
/// use std::time::Duration;
/// use tooz_core::ServiceUrl;
///
/// let url: ServiceUrl = "redis://h?idle=1m&tiemout=3".parse()?;
/// let options = url.options();
/// assert_eq!(options.get("idle")?, Some(Duration::from_secs(60)));
/// let error = options.finish().unwrap_err().to_string();
/// assert!(error.contains("unknown option \"tiemout\" (did you mean \"timeout\"?)"), "{error}");
/// # Ok::<(), tooz_core::Error>(())
/// ```
pub struct OptionReader<'a> {
    options: &'a [(String, String)],
    known: RefCell<Vec<&'static str>>,
}

impl<'a> OptionReader<'a> {
    pub(crate) fn new(options: &'a [(String, String)]) -> Self {
        Self { options, known: RefCell::new(COMMON.to_vec()) }
    }

    /// The value of the option `name`, or `None` if the URL does not set it.
    ///
    /// # Errors
    /// `InvalidOption` if the value is malformed, or if the URL sets the option twice.
    pub fn get<T: OptionValue>(&self, name: &'static str) -> Result<Option<T>> {
        let mut values = self.get_all(name)?;
        if values.len() > 1 {
            return Err(Error::new(
                ErrorKind::InvalidOption,
                format!("option \"{name}\" is set more than once; keep one of them"),
            ));
        }
        Ok(values.pop())
    }

    /// All values of the option `name`, which the URL may set any number of times.
    ///
    /// # Errors
    /// `InvalidOption` if a value is malformed.
    pub fn get_all<T: OptionValue>(&self, name: &'static str) -> Result<Vec<T>> {
        let mut known = self.known.borrow_mut();
        if !known.contains(&name) {
            known.push(name);
        }
        let values = self.options.iter().filter(|(key, _)| key == name);
        values.map(|(_, value)| T::parse(value).ok_or_else(|| malformed(name, value, T::EXPECTED))).collect()
    }

    /// Refuses options that were not read.
    ///
    /// # Errors
    /// `InvalidOption`, which names the first unknown option and lists the valid ones.
    pub fn finish(self) -> Result<()> {
        let mut known = self.known.into_inner();
        known.sort_unstable();
        match self.options.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some((key, _)) => Err(Error::new(
                ErrorKind::InvalidOption,
                format!(
                    "unknown option \"{}\"{}; the valid options are {}",
                    key.escape_debug(),
                    did_you_mean(key, known.iter().copied()),
                    known.join(", ")
                ),
            )),
        }
    }
}

/// Shows the names of the options, not their values: one may be a password.
impl fmt::Debug for OptionReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.options.iter().map(|(name, _)| name)).finish()
    }
}

/// Hides the value of an option that is a password.
fn malformed(name: &str, value: &str, expected: &str) -> Error {
    let shown = if name.contains("password") { "***".to_owned() } else { value.escape_debug().to_string() };
    Error::new(ErrorKind::InvalidOption, format!("option \"{name}\" is \"{shown}\" but must be {expected}"))
}

impl OptionValue for String {
    const EXPECTED: &'static str = "text that is not empty";

    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| text.to_owned())
    }
}

impl OptionValue for PathBuf {
    const EXPECTED: &'static str = "a path";

    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| text.into())
    }
}

impl OptionValue for bool {
    const EXPECTED: &'static str = "true or false";

    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        }
    }
}

impl OptionValue for u64 {
    const EXPECTED: &'static str = "a whole number";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl OptionValue for u32 {
    const EXPECTED: &'static str = "a whole number below 2^32";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl OptionValue for Duration {
    const EXPECTED: &'static str =
        "a duration above zero and at most 2^32 seconds such as 500ms, 10s, 2m, or plain seconds as in 1.5";

    fn parse(text: &str) -> Option<Self> {
        let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let scale = match unit {
            "ms" => 1e-3,
            "s" | "" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let seconds: f64 = number.parse().ok()?;
        let duration = Self::try_from_secs_f64(seconds * scale).ok()?;
        (!duration.is_zero() && duration <= Self::from_secs(u64::from(u32::MAX))).then_some(duration)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_have_units() {
        let parse = |text| <Duration as OptionValue>::parse(text);
        assert_eq!(parse("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse("1.5"), Some(Duration::from_millis(1500)));
        assert_eq!(parse("2m"), Some(Duration::from_secs(120)));
        for bad in ["", "0", "-1", "s", "5 s", "1d", "NaN", "inf", "1e300"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_option_or_an_error(name in "ttl|password|\\PC{0,9}", value in "-?[0-9.e]{0,25}[a-z]{0,2}|\\PC{0,20}") {
            let options = [(name, value)];
            let reader = OptionReader::new(&options);
            let _ = (reader.get::<Duration>("ttl"), reader.get::<bool>("ttl"), reader.get::<u64>("ttl"));
            let _ = (reader.get_all::<u32>("password"), reader.get::<PathBuf>("password"), reader.finish());
        }
    }

    #[test]
    fn a_malformed_password_stays_hidden() {
        let options = [("password".to_owned(), String::new()), ("password".to_owned(), "hunter2".to_owned())];
        let error = OptionReader::new(&options).get::<u64>("password").unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
    }
}
