//! Calling back from an asynchronous operation into the thread that waits for it.
//!
//! The calling thread polls the operation. When the operation calls its work, the thread leaves the runtime and calls the
//! user's closure, which may make other blocking calls. Then it continues to poll. Meanwhile the runtime's own thread
//! renews the session.

use std::pin::pin;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::runtime::Runtime;
use crate::{Error, Result};

/// The work that is handed to an operation: it calls the closure and returns what that returned.
pub(super) type Work<'a, G, E> = Box<dyn FnMut(Arc<G>) -> LocalBoxFuture<'a, Result<(), E>> + 'a>;

/// Runs an operation, whose work is `closure` in the calling thread.
///
/// The operation may drop the work, because a lock was lost. It learns so when the closure has returned, and then the result
/// of the closure is dropped, too.
pub(super) fn run_with<'a, G: 'a, T, E: From<Error> + 'a, F>(
    runtime: &Runtime,
    mut closure: impl FnMut(Arc<G>) -> Result<(), E>,
    operation: impl FnOnce(Work<'a, G, E>) -> F,
) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let (calls, mut called) = mpsc::unbounded_channel();
    let work = move |guard| {
        let (reply, result) = oneshot::channel();
        // The receiver lives as long as the operation.
        let _ = calls.send((guard, reply));
        async move { result.await.unwrap_or_else(|_| Err(unanswered().into())) }.boxed_local()
    };
    let mut operation = pin!(operation(Box::new(work)));
    loop {
        let next = async {
            tokio::select! {
                biased;
                Some(call) = called.recv() => Err(call),
                output = &mut operation => Ok(output),
            }
        };
        match runtime.run(next.map(Ok))? {
            Ok(output) => return output,
            Err((guard, reply)) => {
                // Without a receiver the operation has dropped the work.
                let _ = reply.send(closure(guard));
            }
        }
    }
}

fn unanswered() -> Error {
    Error::new(crate::ErrorKind::Unexpected, "the closure has not returned")
}
