//! What commands print: tables and messages for people, JSON for programs.

mod message;
mod printer;
mod table;
mod time;

pub(crate) use self::message::{EventWriter, messages_as_json, say};
pub(crate) use self::printer::Printer;
pub(crate) use self::table::Table;
pub(crate) use self::time::{age, millis};
