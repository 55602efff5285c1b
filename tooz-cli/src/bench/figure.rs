//! The times of one kind of operation.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest time that is measured, in microseconds: ten minutes.
const LONGEST: u64 = 600_000_000;

/// The times of operations, in microseconds.
#[derive(Clone, Debug)]
pub(super) struct Times(Histogram<u64>);

/// What is printed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Figure {
    pub(super) operation: &'static str,
    pub(super) count: u64,
    pub(super) per_second: f64,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
    pub(super) max_us: u64,
}

impl Times {
    /// # Errors
    /// None: three significant digits are valid.
    pub(super) fn new() -> Result<Self, hdrhistogram::CreationError> {
        Histogram::new_with_max(LONGEST, 3).map(Self)
    }

    pub(super) fn record(&mut self, time: Duration) {
        self.0.saturating_record(time.as_micros().try_into().unwrap_or(u64::MAX));
    }

    pub(super) fn add(&mut self, other: &Self) {
        // Both have the same range, so every value fits.
        let _ = self.0.add(&other.0);
    }

    pub(super) fn figure(&self, operation: &'static str, took: Duration) -> Figure {
        let count = self.0.len();
        Figure {
            operation,
            count,
            per_second: count as f64 / took.as_secs_f64().max(f64::EPSILON),
            p50_us: self.0.value_at_quantile(0.5),
            p99_us: self.0.value_at_quantile(0.99),
            max_us: self.0.max(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_counts_and_orders() {
        let (mut all, mut other) = (Times::new().unwrap(), Times::new().unwrap());
        (1..=50).for_each(|millis| all.record(Duration::from_millis(millis)));
        (51..=100).for_each(|millis| other.record(Duration::from_millis(millis)));
        all.add(&other);
        let figure = all.figure("x", Duration::from_secs(2));
        assert_eq!((figure.count, figure.per_second), (100, 50.0));
        assert!(figure.p50_us < figure.p99_us && figure.p99_us <= figure.max_us, "{figure:?}");
    }
}
