//! The floor: the fewest calls of the backend's own client that have the same effect.

use async_trait::async_trait;

use crate::Failure;

/// Raw calls of a client, with which the driver is compared. They show the cost without a library: no retries, no crash
/// safety, no queue.
#[async_trait]
pub trait Floor: Send + Sync + 'static {
    /// What [`pair`](Self::pair) consists of, for the table.
    fn words(&self) -> &'static str;

    /// The greatest ratios to the floor that the project promises.
    fn targets(&self) -> Targets {
        Targets::default()
    }

    /// Acquires and releases an object that only `task` uses.
    async fn pair(&self, task: usize) -> Result<(), Failure>;

    /// Reads one object, as a try on a held lock must.
    async fn look(&self) -> Result<(), Failure>;

    /// Appends one message of 100 bytes to a log.
    async fn append(&self) -> Result<(), Failure>;

    /// Prepares the turn that [`pass`](Self::pass) hands over, if something must be held until then.
    async fn arm(&self, turn: u64) -> Result<(), Failure> {
        let _ = turn;
        Ok(())
    }

    /// Wakes the process that waits for `turn`.
    async fn pass(&self, turn: u64) -> Result<(), Failure>;

    /// Waits until `turn` is passed, by a push of the backend.
    async fn receive(&self, turn: u64) -> Result<(), Failure>;
}

/// Greatest ratios to the floor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Targets {
    /// For acquire and release.
    pub pair: Option<f64>,
    /// For the time from a release to the return of acquire in another process.
    pub hand_over: Option<f64>,
}
