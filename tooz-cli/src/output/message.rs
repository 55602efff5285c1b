//! Messages on standard error, as text or, with `--json`, as one JSON object a line.
//!
//! A message that cannot be written is dropped: the reader of a log may end before the command that a runner guards.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

/// Whether this process writes messages as JSON. Set once, at its start.
static AS_JSON: AtomicBool = AtomicBool::new(false);

/// Writes the messages of this process as JSON from now on.
pub(crate) fn messages_as_json() {
    AS_JSON.store(true, Ordering::Relaxed);
}

/// Writes events of the library as messages: each `write` is one event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventWriter;

impl Write for EventWriter {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        match AS_JSON.load(Ordering::Relaxed) {
            true => say("log", String::from_utf8_lossy(event).trim_end()),
            false => io::stderr().write_all(event)?,
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a message. `event` is a word for programs, `text` is for people.
pub(crate) fn say(event: &str, text: impl Display) {
    let line = match AS_JSON.load(Ordering::Relaxed) {
        true => json!({ "event": event, "message": text.to_string() }).to_string(),
        false => format!("tooz: {text}"),
    };
    let _ = writeln!(std::io::stderr(), "{line}");
}
