//! Where a row measures: a backend, and how many clients and entries there are.

use super::meter::Meter;
use crate::{Context, Failure};

/// The backend and the size with which a row is measured.
#[derive(Debug)]
pub(crate) struct Setting {
    /// A backend that nothing else uses meanwhile.
    pub(crate) context: Context,
    /// How many clients or entries there are.
    pub(crate) size: u64,
    /// How many clients watch, where the size does not say so.
    pub(crate) watchers: u64,
}

impl Setting {
    /// Counts what clients cause from now on.
    pub(crate) async fn meter(&self) -> Result<Meter, Failure> {
        Meter::start(&self.context).await
    }
}
