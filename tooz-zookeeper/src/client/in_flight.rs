//! Requests on their way: how many there are does not depend on how many callers still wait for them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;

use super::Answer;
use super::link::Link;

/// A request that keeps its slot until it is answered, also when its caller has given up: what was sent costs the server
/// the same, and callers who come and go would otherwise keep everybody else waiting.
pub(super) struct InFlight<T: 'static> {
    rest: Option<Pin<Box<dyn Future<Output = Answer<T>> + Send>>>,
    sent: bool,
    link: Arc<Link>,
    limit: Duration,
}

impl<T: 'static> InFlight<T> {
    /// The slot is given back after `limit` if there is no answer to a request whose caller has given up.
    pub(super) fn new(
        request: impl Future<Output = Answer<T>> + Send + 'static,
        slot: Option<OwnedSemaphorePermit>,
        link: Arc<Link>,
        limit: Duration,
    ) -> Self {
        let holding = async move {
            let answer = request.await;
            drop(slot);
            answer
        };
        Self { rest: Some(Box::pin(holding)), sent: false, link, limit }
    }
}

impl<T: 'static> Future for InFlight<T> {
    type Output = Answer<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer<T>> {
        self.sent = true;
        let Some(rest) = &mut self.rest else { return Poll::Pending };
        let answer = ready!(rest.as_mut().poll(context));
        self.rest = None;
        Poll::Ready(answer)
    }
}

impl<T: 'static> Drop for InFlight<T> {
    fn drop(&mut self) {
        let Some(rest) = self.rest.take().filter(|_| self.sent && self.link.check().is_ok()) else { return };
        let (link, limit) = (self.link.clone(), self.limit);
        // Without a runtime nobody sends requests any more.
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            tokio::select! {
                _ = rest => {}
                _ = link.over() => {}
                () = sleep(limit) => {}
            }
        });
    }
}
