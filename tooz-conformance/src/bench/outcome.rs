//! The outcome of a run, and how its numbers are written.

use std::fs;

use serde_json::{Value, json};

use super::figure::{Figure, Round, Spread};
use crate::scale::Scaling;

/// All figures of a run, and the conditions under which they were taken.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) name: String,
    provision: (String, String),
    full: bool,
    pinned: bool,
    load: String,
    pub(super) figures: Vec<Figure>,
    /// The rows of the part `scale`.
    pub(super) rows: Vec<Scaling>,
}

impl Outcome {
    pub(super) fn new(
        name: &str,
        provision: (String, String),
        (full, pinned): (bool, bool),
        figures: Vec<Figure>,
    ) -> Self {
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or_default().to_owned();
        Self { name: name.to_owned(), provision, full, pinned, load, figures, rows: Vec::new() }
    }

    pub(super) fn with_rows(self, rows: Vec<Scaling>) -> Self {
        Self { rows, ..self }
    }

    /// The conditions of the run in one line.
    pub(super) fn conditions(&self) -> String {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let pinned = if self.pinned { ", server and clients pinned to different cores" } else { "" };
        let short = if self.full { "" } else { "; a short trial run, not a measurement" };
        let version = &self.provision.1;
        format!("{} {version}, {cores} usable cores, load {}{pinned}{short}", self.name, self.load)
    }

    pub(super) fn to_json(&self) -> Value {
        let figure = |figure: &Figure| {
            let mut value = json!(figure);
            value["ratio"] = json!(figure.ratio());
            value
        };
        json!({
            "name": self.name, "provision": self.provision.0, "version": self.provision.1, "full": self.full,
            "pinned": self.pinned, "load": self.load,
            "figures": self.figures.iter().map(figure).collect::<Vec<_>>(), "scale": self.rows,
        })
    }
}

/// One line of the table: the driver's median (least to greatest round), p99 and rate; the ratio and the base.
pub(super) fn line(figure: &Figure) -> String {
    let Some(ours) = spread(&figure.ours) else { return format!("{:<46} not measured", figure.name) };
    let numbers = format!("{} [{}-{}]", number(ours.median), number(ours.least), number(ours.greatest));
    let mut text = format!("{:<46} {numbers:>24} {:<4}", figure.name, figure.unit);
    let p99 = Spread::of(figure.ours.iter().map(|round| round.p99));
    if let Some(p99) = p99.filter(|_| figure.unit == "µs") {
        text.push_str(&format!(" p99 {:>7}", number(p99.median)));
    }
    if let Some(rate) = Spread::of(figure.ours.iter().filter_map(|round| round.per_second)) {
        text.push_str(&format!(" {:>7}/s", number(rate.median)));
    }
    if let (Some(ratio), Some(name)) = (figure.ratio(), &figure.base_is) {
        let Spread { median, least, greatest } = ratio;
        text.push_str(&format!(
            "  {median:.2}x [{least:.2}-{greatest:.2}] of {name}: {}",
            typical(figure, &figure.base)
        ));
    }
    text
}

/// The median time of one side or, where rates are compared, its median rate.
pub(super) fn typical(figure: &Figure, rounds: &[Round]) -> String {
    let value = |round: &Round| if figure.by_rate { round.per_second } else { Some(round.p50) };
    let median = Spread::of(rounds.iter().filter_map(value)).map_or(f64::NAN, |spread| spread.median);
    format!("{}{}", number(median), if figure.by_rate { "/s" } else { "" })
}

fn spread(rounds: &[Round]) -> Option<Spread> {
    Spread::of(rounds.iter().map(|round| round.p50))
}

/// A number with about three significant digits.
fn number(value: f64) -> String {
    match value {
        value if value < 1.0 => format!("{value:.3}"),
        value if value < 10.0 => format!("{value:.2}"),
        value if value < 100.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}
