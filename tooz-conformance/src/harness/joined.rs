//! Waits for a task and passes its panic on, so that a failure shows the message instead of a `JoinError`.

use std::panic::resume_unwind;

use tokio::task::JoinHandle;

/// The output of `task`.
///
/// # Panics
/// With the task's own panic, or if the task was cancelled.
pub(crate) async fn joined<T>(task: JoinHandle<T>) -> T {
    match task.await.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(output) => output,
        Err(Ok(panic)) => resume_unwind(panic),
        Err(Err(_)) => panic!("a task of the trial was cancelled before it returned"),
    }
}
