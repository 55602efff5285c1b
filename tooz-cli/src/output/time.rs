//! Times as people and programs read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
pub(crate) fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis().try_into().unwrap_or(u64::MAX)
}

/// How long ago a moment is that is given in milliseconds since 1970, such as `3m` or `2h`; `-` if it is unknown.
pub(crate) fn age(since_ms: u64) -> String {
    match since_ms {
        0 => "-".to_owned(),
        since => short(Duration::from_millis(millis(SystemTime::now()).saturating_sub(since))),
    }
}

/// A duration in its largest unit: `850ms`, `12s`, `3m`, `2h` or `5d`.
fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}
