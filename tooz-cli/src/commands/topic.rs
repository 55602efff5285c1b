//! `tooz topic`: publishing and receiving messages.

use std::io::{BufRead, Write};

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};
use tooz::{Coordinator, ErrorKind, Message, Offset, StartAt, Topic};

use super::session::with_session;
use crate::backend::Backend;
use crate::exit::{NO, Result};
use crate::output::{Printer, Table, say};

/// What to do with a topic.
#[derive(Args, Debug)]
pub(crate) struct TopicCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Shows which messages are kept. The exit code is 1 if there are none.
    Show {
        /// The name of the topic.
        name: String,
    },
    /// Publishes a message, or each line of standard input as one.
    Publish {
        /// The name of the topic.
        name: String,
        /// The message. Default: the lines of standard input.
        message: Option<String>,
        /// How many messages the topic keeps.
        #[arg(long, default_value_t = Topic::DEFAULT_KEEP, value_name = "N")]
        keep: u64,
    },
    /// Prints the messages, one a line, until a signal ends the program.
    Subscribe {
        /// The name of the topic.
        name: String,
        /// Begins at the oldest message that is kept. Default: with the next message.
        #[arg(long, conflicts_with = "after")]
        earliest: bool,
        /// Begins after the message with this offset.
        #[arg(long, value_name = "OFFSET")]
        after: Option<u64>,
        /// Ends after this many messages.
        #[arg(long, value_name = "N")]
        count: Option<u64>,
    },
}

impl TopicCommand {
    pub(crate) async fn run(&self, backend: &Backend, printer: Printer) -> Result<u8> {
        with_session(backend, async |coordinator| self.action.perform(coordinator, printer).await).await
    }
}

impl Action {
    async fn perform(&self, coordinator: &Coordinator, printer: Printer) -> Result<u8> {
        match self {
            Self::Show { name } => show(&coordinator.topic(name), name, printer).await,
            Self::Publish { name, message: Some(message), keep } => {
                publish(&coordinator.topic(name).keep(*keep), message.as_bytes(), printer).await
            }
            Self::Publish { name, message: None, keep } => {
                publish_lines(&coordinator.topic(name).keep(*keep), printer).await
            }
            Self::Subscribe { name, earliest, after, count } => {
                let start = match after {
                    Some(offset) => StartAt::After(Offset(*offset)),
                    None if *earliest => StartAt::Earliest,
                    None => StartAt::Latest,
                };
                subscribe(&coordinator.topic(name), start, count.unwrap_or(u64::MAX), printer).await
            }
        }
    }
}

async fn show(topic: &Topic, name: &str, printer: Printer) -> Result<u8> {
    let removed = topic.subscribe(StartAt::Earliest).await?.position().0;
    let newest = topic.subscribe(StartAt::Latest).await?.position().0;
    printer.table(&json!({ "name": name, "removed_to": removed, "newest": newest }), || {
        let mut table = Table::new(&["NAME", "REMOVED UP TO", "NEWEST"]);
        table.push([name.to_owned(), removed.to_string(), newest.to_string()]);
        table
    })?;
    Ok(if newest == removed { NO } else { 0 })
}

async fn publish(topic: &Topic, message: &[u8], printer: Printer) -> Result<u8> {
    let offset = topic.publish(message).await?.0;
    printer.line(&json!({ "offset": offset }), || offset.to_string())?;
    Ok(0)
}

async fn publish_lines(topic: &Topic, printer: Printer) -> Result<u8> {
    let (sender, mut lines) = tokio::sync::mpsc::channel(1);
    // A thread, because a read of standard input cannot be cancelled. It ends with the process.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().split(b'\n').map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    while let Some(line) = lines.recv().await {
        publish(topic, &line, printer).await?;
    }
    Ok(0)
}

async fn subscribe(topic: &Topic, start: StartAt, count: u64, printer: Printer) -> Result<u8> {
    let mut subscription = topic.subscribe(start).await?;
    for _ in 0..count {
        let message = loop {
            match subscription.next().await {
                Err(error) if error.kind() == ErrorKind::Gap => say("gap", error),
                message => break message?,
            }
        };
        printer.line(&message_json(&message), || String::from_utf8_lossy(&message.payload).into_owned())?;
    }
    // The output may be a pipe.
    std::io::stdout().flush()?;
    Ok(0)
}

/// A payload that is not UTF-8 appears as a list of bytes.
fn message_json(message: &Message) -> Json {
    match std::str::from_utf8(&message.payload) {
        Ok(text) => json!({ "offset": message.offset.0, "text": text }),
        Err(_) => json!({ "offset": message.offset.0, "bytes": message.payload }),
    }
}
