//! The least that the backend's own client must do for the same effect.

use async_trait::async_trait;

use crate::Failure;

/// Raw calls of a client, beside which the driver is measured. Each is one way to do it without a library: no retries, no
/// crash safety, nobody in line.
#[async_trait]
pub trait Floor: Send + Sync + 'static {
    /// What [`pair`](Self::pair) consists of, for the reader of the table.
    fn words(&self) -> &'static str;

    /// How many times the floor's time a pair and a hand-over between two processes may take, where that was promised.
    fn targets(&self) -> Targets {
        Targets::default()
    }

    /// Takes and gives back something that nobody else wants: what `task` has to itself.
    async fn pair(&self, task: usize) -> Result<(), Failure>;

    /// Looks at one thing, as a try on a held lock must.
    async fn look(&self) -> Result<(), Failure>;

    /// Appends one message of 100 bytes to a log.
    async fn append(&self) -> Result<(), Failure>;

    /// Prepares the turn that [`pass`](Self::pass) will give away, if something must be held until then.
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
    /// Of acquire and release.
    pub pair: Option<f64>,
    /// Of a release to the return of acquire in another process.
    pub hand_over: Option<f64>,
}
