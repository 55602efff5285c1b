//! How far the clock of a server is from that of this host.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::check::Check;

/// Clocks that differ by more are worth a look: `tooz once` counts periods by them.
const DRIFT: Duration = Duration::from_secs(1);

/// Compares the clock of the server, as the time since 1970, with the moment at which it was asked.
pub(super) fn clock(server: Duration, asked: SystemTime) -> Check {
    let drift = (UNIX_EPOCH + server).duration_since(asked).unwrap_or_else(|error| error.duration());
    match drift > DRIFT {
        true => {
            Check::warn("clock", format!("{drift:.1?} apart"), "run NTP on both hosts: `tooz once` counts by the clock")
        }
        false => Check::ok("clock", format!("{drift:.1?} apart, the round trip included")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check::Verdict;

    #[test]
    fn clocks_that_are_apart_are_a_warning() {
        let asked = UNIX_EPOCH + Duration::from_secs(1000);
        let verdict = |server| clock(Duration::from_millis(server), asked).verdict;
        assert_eq!([998_500, 999_500, 1_000_500, 1_001_500].map(verdict), {
            use Verdict::{Ok, Warn};
            [Warn, Ok, Ok, Warn]
        });
    }
}
