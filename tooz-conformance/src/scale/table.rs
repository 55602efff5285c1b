//! Measures rows at several sizes, and prints them as tables.

use std::fmt::Write;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::time::timeout;

use super::growth::exponent;
use super::row::{Point, Row};
use super::setting::Setting;
use crate::Context;

/// What one size may take.
const LIMIT: Duration = Duration::from_secs(60);

/// If a size takes longer than this, larger ones are not measured: ten times as many clients would overload the machine.
const LAST: Duration = Duration::from_secs(12);

/// A row with its points.
#[derive(Debug, Serialize)]
pub(crate) struct Scaling {
    name: &'static str,
    size: &'static str,
    per: &'static str,
    watchers: u64,
    points: Vec<Point>,
    /// Why larger sizes are missing.
    ended: Option<String>,
}

impl Scaling {
    /// Measures a row at its sizes, at most `greatest`, each in a namespace of its own, until one fails or takes too long.
    pub(crate) async fn measure(row: &Row, greatest: u64, watchers: u64, context: impl Fn() -> Context) -> Self {
        let (mut points, mut ended, mut took) = (Vec::new(), None, Duration::ZERO);
        for size in row.sizes.iter().copied().filter(|size| *size <= greatest) {
            if took > LAST {
                ended = Some(format!("{size} {}: the size before took {took:.0?}", row.size));
                break;
            }
            let (began, setting) = (Instant::now(), Setting { context: context(), size, watchers });
            match timeout(LIMIT, (row.measure)(setting)).await {
                Ok(Ok(values)) => points.push(Point { size, values }),
                Ok(Err(failure)) => ended = Some(format!("{size} {}: {failure}", row.size)),
                Err(_) => ended = Some(format!("{size} {}: not done within {LIMIT:?}", row.size)),
            }
            took = began.elapsed();
            eprintln!("{:>6.1} s  {size} {}", took.as_secs_f64(), row.size);
            if ended.is_some() {
                break;
            }
        }
        Self { name: row.name, size: row.size, per: row.per, watchers, points, ended }
    }
}

/// Prints one table for a row: a line for each size, and the growth of each column.
pub(crate) fn print(scaling: &Scaling) {
    let Scaling { name, size, per, watchers, points, ended } = scaling;
    println!(
        "\n{name}, for each {per}{}",
        if per.contains("and change") { format!(", {watchers} of them") } else { String::new() }
    );
    let columns: Vec<_> =
        points.first().map(|point| point.values.iter().map(|(name, _)| *name).collect()).unwrap_or_default();
    println!("{}", line(size, columns.iter().map(|name| (*name).to_owned())));
    for point in points {
        println!("{}", line(&point.size.to_string(), point.values.iter().map(|(_, value)| number(*value))));
    }
    let growth = (0..columns.len()).map(|column| {
        let exponent = exponent(points.iter().filter_map(|point| Some((point.size, point.values.get(column)?.1))));
        exponent.map_or("-".to_owned(), |exponent| format!("n^{exponent:.2}"))
    });
    println!("{}", line("growth", growth));
    ended.iter().for_each(|reason| println!("not measured: {reason}"));
}

fn line(first: &str, columns: impl Iterator<Item = String>) -> String {
    let mut line = format!("{first:>12}");
    // Writing to a String cannot fail.
    columns.for_each(|column| write!(line, " {column:>15}").unwrap_or_default());
    line
}

/// Few digits for people.
fn number(value: f64) -> String {
    if value.abs() < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}
