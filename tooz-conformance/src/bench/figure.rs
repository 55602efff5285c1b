//! Measured figures: rounds of samples, and their ratios.

use std::future::Future;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::Failure;

/// The time in nanoseconds of a clock that all processes of this host share.
pub(super) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// One round of one side.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Round {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) per_second: Option<f64>,
}

impl Round {
    /// A round of times in nanoseconds. Its figures are in microseconds.
    pub(super) fn of_times(mut times: Vec<u64>, per_second: Option<f64>) -> Result<Self, Failure> {
        times.sort_unstable();
        let Some(last) = times.len().checked_sub(1) else { return Err(Failure::new("a round without a sample")) };
        let at = |percent: usize| times[last * percent / 100] as f64 / 1000.0;
        Ok(Self { p50: at(50), p99: at(99), per_second })
    }

    /// A round with a single value.
    pub(super) fn of_value(value: f64) -> Self {
        Self { p50: value, p99: value, per_second: None }
    }
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) unit: &'static str,
    /// What `base` is, if the figure has a base.
    pub(super) base_is: Option<String>,
    pub(super) ours: Vec<Round>,
    pub(super) base: Vec<Round>,
    /// The greatest ratio to the base that the project promises.
    pub(super) target: Option<f64>,
    /// Whether rates are compared: with many tasks the time of one operation mostly depends on their order.
    pub(super) by_rate: bool,
}

impl Figure {
    /// A figure in microseconds.
    pub(super) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), unit: "µs", base_is: None, ours: vec![], base: vec![], target: None, by_rate: false }
    }

    pub(super) fn beside(mut self, base: impl Into<String>, target: Option<f64>) -> Self {
        (self.base_is, self.target) = (Some(base.into()), target);
        self
    }

    /// Compares rates if several tasks work at once.
    pub(super) fn of_tasks(mut self, tasks: usize) -> Self {
        self.by_rate = tasks > 1;
        self
    }

    /// Measures both sides in turn, `rounds` times. The first side alternates, so that drift affects both.
    pub(super) async fn measure<A, B>(
        mut self,
        rounds: usize,
        mut ours: impl FnMut() -> A,
        mut base: impl FnMut() -> B,
    ) -> Result<Self, Failure>
    where
        A: Future<Output = Result<Round, Failure>>,
        B: Future<Output = Result<Round, Failure>>,
    {
        for round in 0..rounds {
            if round % 2 == 0 {
                self.ours.push(ours().await?);
                self.base.push(base().await?);
            } else {
                self.base.push(base().await?);
                self.ours.push(ours().await?);
            }
        }
        Ok(self)
    }

    /// Median, least and greatest ratio of the driver's p50, or time per operation, to that of the base in the same
    /// round.
    pub(super) fn ratio(&self) -> Option<Spread> {
        let ratio = |(ours, base): (&Round, &Round)| match (ours.per_second, base.per_second) {
            (Some(ours), Some(base)) if self.by_rate => base / ours,
            _ => ours.p50 / base.p50,
        };
        let ratios = self.ours.iter().zip(&self.base).map(ratio);
        Spread::of(ratios.filter(|ratio| ratio.is_finite()))
    }

    /// Whether the median keeps the target, if the figure has one.
    pub(super) fn keeps_target(&self) -> Option<bool> {
        Some(self.ratio()?.median <= self.target?)
    }
}

/// The median, least and greatest value of several rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) greatest: f64,
}

impl Spread {
    pub(super) fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<_> = values.collect();
        values.sort_by(f64::total_cmp);
        let (least, greatest) = (*values.first()?, *values.last()?);
        Some(Self { median: values[values.len() / 2], least, greatest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_has_percentiles_in_microseconds() {
        let round = Round::of_times((0..=100).rev().map(|n| n * 1000).collect(), None).unwrap();
        assert_eq!((round.p50, round.p99), (50.0, 99.0));
        assert!(Round::of_times(vec![], None).is_err());
    }

    #[test]
    fn a_ratio_is_the_median_of_ratios_within_rounds() {
        let mut figure = Figure::new("x").beside("y", Some(2.0));
        figure.ours = [10.0, 40.0, 90.0].map(Round::of_value).to_vec();
        figure.base = [10.0, 20.0, 30.0].map(Round::of_value).to_vec();
        assert_eq!(figure.ratio(), Some(Spread { median: 2.0, least: 1.0, greatest: 3.0 }));
        assert_eq!(figure.keeps_target(), Some(true));
    }

    #[test]
    fn several_tasks_are_compared_by_their_rate() {
        let round = |p50, per_second| Round { per_second: Some(per_second), ..Round::of_value(p50) };
        let mut figure = Figure::new("x").beside("y", None).of_tasks(64);
        (figure.ours, figure.base) = (vec![round(4000.0, 500.0)], vec![round(2.0, 1000.0)]);
        assert_eq!(figure.ratio().unwrap().median, 2.0);
    }
}
