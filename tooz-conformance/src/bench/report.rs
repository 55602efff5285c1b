//! Writes an outcome: as a table on the terminal, as JSON, and as a chart for the documentation.

use std::fs;
use std::path::Path;

use super::chart;
use super::outcome::{Outcome, line};
use crate::Failure;

/// Prints the table, and the figures that miss their target.
pub(super) fn print(outcome: &Outcome) {
    println!("\n{}", outcome.conditions());
    outcome.figures.iter().for_each(|figure| println!("{}", line(figure)));
    for figure in outcome.figures.iter().filter(|figure| figure.keeps_target() == Some(false)) {
        println!("{} misses its target ratio of {}", figure.name, figure.target.unwrap_or_default());
    }
}

/// Writes the files that were asked for.
pub(super) fn write(outcome: &Outcome, json: Option<&Path>, svg: Option<&Path>) -> Result<(), Failure> {
    if let Some(path) = json {
        fs::write(path, serde_json::to_string_pretty(&outcome.to_json())?)?;
    }
    if let Some(path) = svg {
        fs::write(path, chart::draw(outcome))?;
    }
    Ok(())
}
