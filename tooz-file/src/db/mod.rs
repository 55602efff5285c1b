//! The SQLite database: its connection, tables, transactions and rows.

pub(crate) mod busy;
pub(crate) mod connection;
pub(crate) mod objects;
pub(crate) mod rosters;
pub(crate) mod schema;
pub(crate) mod sequence;
pub(crate) mod transaction;
