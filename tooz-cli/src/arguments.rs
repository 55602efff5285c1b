//! Values of arguments that several commands share.

use std::time::Duration;

use tooz::OptionValue;

/// A duration such as `500ms`, `10s`, `2m` or `1h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    OptionValue::parse(text).ok_or_else(|| format!("must be {}", Duration::EXPECTED))
}

/// The name of a semaphore and the number of its permits, as in `workers:3`.
pub(crate) fn semaphore(text: &str) -> Result<(String, u32), String> {
    let parsed = text.rsplit_once(':').and_then(|(name, permits)| Some((name.to_owned(), permits.parse().ok()?)));
    parsed.filter(|(_, permits)| *permits > 0).ok_or_else(|| "must be NAME:N, as in workers:3".to_owned())
}
