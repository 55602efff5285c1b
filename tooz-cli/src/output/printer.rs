//! Printing on standard output, as text or as JSON.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::table::Table;
use crate::exit::{Failure, INTERNAL, Result, SIGNALED};

/// The number of SIGPIPE, which ends other programs whose reader has gone.
const SIGPIPE: u8 = 13;

/// Prints one result, or one line after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    json: bool,
    colours: bool,
}

impl Printer {
    pub(crate) fn new(json: bool) -> Self {
        let colours = !json && io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { json, colours }
    }

    /// Prints `value` as JSON, or the table.
    pub(crate) fn table(self, value: &impl Serialize, table: impl FnOnce() -> Table) -> Result<()> {
        self.print(value, || table().render(self.colours))
    }

    /// Prints `value` as JSON on one line, or the text.
    pub(crate) fn line(self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<()> {
        self.print(value, || text() + "\n")
    }

    fn print(self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<()> {
        let text = match self.json {
            true => serde_json::to_string(value).map_err(|error| Failure::new(INTERNAL, error.to_string()))? + "\n",
            false => text(),
        };
        self.bytes(text.as_bytes())
    }

    /// Prints bytes as they are.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Result<()> {
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
        written.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::new(SIGNALED + SIGPIPE, ""),
            _ => Failure::new(INTERNAL, format!("failed to print: {error}")),
        })
    }
}
