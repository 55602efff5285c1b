//! One benchmark run on one backend: what the measurements share.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use super::figure::Figure;
use super::floor::Floor;
use super::outcome::line;
use crate::harness::{DriverUnderTest, RunningBackend};
use crate::{Context, Failure, Target};

/// Opens the floor in a namespace of a backend.
pub(super) type OpenFloor = Arc<dyn Fn(Target) -> BoxFuture<'static, Result<Arc<dyn Floor>, Failure>> + Send + Sync>;

/// One run on one backend.
pub(super) struct Bench {
    subject: Arc<DriverUnderTest>,
    backend: Arc<RunningBackend>,
    pub(super) open: OpenFloor,
    /// Whether this is a measurement. Otherwise the run only shows that each figure can be taken.
    pub(super) full: bool,
    figures: Mutex<Vec<Figure>>,
    start: Instant,
}

impl Bench {
    pub(super) fn new(
        subject: Arc<DriverUnderTest>,
        backend: Arc<RunningBackend>,
        open: OpenFloor,
        full: bool,
    ) -> Self {
        Self { subject, backend, open, full, figures: Mutex::default(), start: Instant::now() }
    }

    /// A context with a unique namespace.
    pub(super) fn fresh(&self) -> Context {
        Context::new(self.subject.clone(), self.backend.clone())
    }

    pub(super) async fn floor(&self, context: &Context) -> Result<Arc<dyn Floor>, Failure> {
        (self.open)(Target::clone(context)).await
    }

    /// Stores a figure and prints it as progress.
    pub(super) fn add(&self, figure: Figure) {
        eprintln!("{:>5.0} s  {}", self.start.elapsed().as_secs_f64(), line(&figure));
        self.figures.lock().unwrap_or_else(PoisonError::into_inner).push(figure);
    }

    /// The number of rounds of a figure.
    pub(super) fn rounds(&self) -> usize {
        if self.full { 7 } else { 1 }
    }

    /// The length of a round that repeats an operation.
    pub(super) fn slice(&self, milliseconds: u64) -> Duration {
        Duration::from_millis(if self.full { milliseconds } else { milliseconds / 10 })
    }

    /// All figures so far.
    pub(super) fn take_figures(&self) -> Vec<Figure> {
        std::mem::take(&mut *self.figures.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// `full` in a measurement, about a tenth of it otherwise.
    pub(super) fn count(&self, full: u64) -> u64 {
        if self.full { full } else { full / 10 + 2 }
    }
}
