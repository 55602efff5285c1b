//! The SQLite database: its connection, tables, transactions and rows.

pub(crate) mod busy;
pub(crate) mod connection;
pub(crate) mod rows;
pub(crate) mod schema;
pub(crate) mod sequence;
pub(crate) mod transaction;
