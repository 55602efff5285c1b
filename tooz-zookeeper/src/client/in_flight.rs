//! Requests that were sent, whether or not their callers still wait for the answers.
//!
//! A request keeps its slots until it is answered, also when its caller has given up: it costs the server the same. If callers
//! that come and go freed their slots at once, they could flood the server.

use std::task::Poll;

use futures_util::poll;
use tokio::sync::OwnedSemaphorePermit;

use crate::error::{Answer, unexpected};

/// Sends a request and waits for its answer. Dropping the returned future does not cancel the request.
pub(super) async fn send<T, F>(request: F, slots: Vec<OwnedSemaphorePermit>) -> Answer<T>
where
    T: Send + 'static,
    F: Future<Output = Answer<T>> + Send + 'static,
{
    let mut answering = Box::pin(async move {
        let _slots = slots;
        request.await
    });
    // The first poll sends it, so that requests are sent in the order of the calls.
    match poll!(&mut answering) {
        Poll::Ready(answer) => answer,
        Poll::Pending => tokio::spawn(answering).await.unwrap_or_else(|error| Err(unexpected(error).into())),
    }
}
