//! The command line of a benchmark.

use std::path::PathBuf;

use crate::Failure;

/// The names of the parts that are measured unless `--only` names one.
pub(super) const PARTS: [&str; 6] = ["pairs", "hand-over", "size", "memory", "groups", "topics"];

/// The part that is measured only if `--only` names it, because it takes minutes.
pub(super) const SCALE: &str = "scale";

/// The options of the command line.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    pub(super) full: bool,
    pub(super) only: Option<String>,
    pub(super) json: Option<PathBuf>,
    pub(super) svg: Option<PathBuf>,
}

impl Arguments {
    pub(super) fn read() -> Result<Self, Failure> {
        let mut read = Self::default();
        let mut given = std::env::args().skip(1);
        while let Some(argument) = given.next() {
            let mut next = |what| given.next().ok_or_else(|| Failure::new(format!("{argument} needs {what}")));
            match argument.as_str() {
                "--bench" => read.full = true,
                "--json" => read.json = Some(next("a file")?.into()),
                "--svg" => read.svg = Some(next("a file")?.into()),
                "--only" => {
                    let part = next("a part")?;
                    if !PARTS.contains(&&*part) && part != SCALE {
                        let parts = PARTS.join(", ");
                        return Err(Failure::new(format!("there is no part {part}, only {parts} and {SCALE}")));
                    }
                    read.only = Some(part);
                }
                _ => {
                    return Err(Failure::new(format!(
                        "unknown argument {argument}; there are --json, --svg and --only"
                    )));
                }
            }
        }
        Ok(read)
    }
}
