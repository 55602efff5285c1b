//! Listing the names that are in use, page by page.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt, iter, try_unfold};

use super::handle::Coordinator;
use super::target::run_operation;
use crate::driver::Session;
use crate::{Name, Result};

/// How many names one request reads.
pub(crate) const PAGE: usize = 100;

/// Reads the page of names that follows a name, or the first page.
pub(crate) type ReadPage = for<'a> fn(&'a dyn Session, Option<&'a Name>) -> BoxFuture<'a, Result<Vec<Name>>>;

/// Names that are in use, such as those of [all locks](Coordinator::locks) that a client holds or awaits.
///
/// Names are read in pages of 100, each when the previous one is used up. The order is the backend's own. A name is listed
/// once if it is in use during the whole listing; if its use begins or ends meanwhile, it may be missing. A name whose
/// last user has crashed may be listed until the TTL of that session has passed.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tooz_core::Error> {
/// # let coordinator = tooz_core::connect("memory://names-doc").await?;
/// let _guard = coordinator.lock("nightly").acquire().await?;
/// let mut locks = coordinator.locks();
/// while let Some(name) = locks.next().await {
///     assert_eq!(name?, "nightly");
/// }
/// assert!(coordinator.elections().all().await?.is_empty());
/// # Ok(()) }
/// ```
#[must_use = "names are received with `next`"]
pub struct Names {
    operation: &'static str,
    names: BoxStream<'static, Result<Name>>,
}

impl Names {
    pub(crate) fn new(coordinator: &Coordinator, operation: &'static str, read: ReadPage) -> Self {
        let coordinator = coordinator.clone();
        let pages = try_unfold(NextPage::First, move |next| {
            let coordinator = coordinator.clone();
            async move {
                let after = match &next {
                    NextPage::First => None,
                    NextPage::After(name) => Some(name),
                    NextPage::None => return Ok(None),
                };
                let read_page = async { coordinator.live().await?.call(|session| read(session, after)).await };
                let page = run_operation(&coordinator, operation, None, read_page).await?;
                let last = page.last().filter(|_| page.len() >= PAGE).cloned();
                Ok(Some((page, last.map_or(NextPage::None, NextPage::After))))
            }
        });
        Self { operation, names: pages.map_ok(|page| iter(page).map(Ok)).try_flatten().boxed() }
    }

    /// Returns the next name, or `None` after the last one. Cancel safe.
    ///
    /// # Errors
    /// `Unavailable`, `SessionLost`, `Closed`; `Unsupported` for topics on a backend that has none. An error is the last
    /// item.
    pub async fn next(&mut self) -> Option<Result<Name>> {
        self.names.next().await
    }

    /// Reads all names that are left.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn all(self) -> Result<Vec<Name>> {
        self.names.try_collect().await
    }
}

/// Which page is to be read next.
enum NextPage {
    First,
    After(Name),
    None,
}

impl Stream for Names {
    type Item = Result<Name>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.names.poll_next_unpin(context)
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").field("of", &self.operation).finish_non_exhaustive()
    }
}
