//! The rows that a function of the schema returns. The first column of the first row is a status, except in lists.

use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql};
use tooz_core::{Error, ErrorKind, Result};

/// A parameter of a request.
pub(crate) type Param<'a> = &'a (dyn ToSql + Sync);

/// The rows of a reply.
pub(crate) struct Reply(pub(super) Vec<Row>);

impl Reply {
    /// The status, or nothing if the server has sent none.
    pub(crate) fn status(&self) -> &str {
        self.0.first().and_then(|row| row.try_get(0).ok()).unwrap_or_default()
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The value of a column.
    pub(crate) fn get<'a, T: FromSql<'a>>(&'a self, row: usize, column: &str) -> Result<T> {
        let row = self.0.get(row).ok_or_else(|| self.unexpected().with_context("column", column))?;
        row.try_get(column).map_err(|error| self.unexpected().with_context("column", column).with_source(error))
    }

    /// A number that is never negative.
    pub(crate) fn number(&self, row: usize, column: &str) -> Result<Option<u64>> {
        let negative = |_| self.unexpected().with_context("column", column);
        self.get::<Option<i64>>(row, column)?.map(u64::try_from).transpose().map_err(negative)
    }

    /// Whether the status is DONE and not NONE.
    pub(crate) fn is_done(&self) -> Result<bool> {
        match self.status() {
            "DONE" => Ok(true),
            "NONE" => Ok(false),
            _ => Err(self.unexpected()),
        }
    }

    pub(crate) fn unexpected(&self) -> Error {
        let message = "a function of the schema has answered something unexpected; another version may be installed";
        Error::new(ErrorKind::Unexpected, message).with_context("status", self.status())
    }
}
