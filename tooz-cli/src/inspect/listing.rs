//! The names of all objects of a kind.

use tooz::{Coordinator, ErrorKind, Name, Result};

use super::kind::Kind;

/// Lists the objects of a kind that are in use, in byte order. A backend without topics has none.
pub(crate) async fn names(coordinator: &Coordinator, kind: Kind) -> Result<Vec<Name>> {
    let listed = match kind {
        Kind::Lock => coordinator.locks().all().await,
        Kind::Semaphore => coordinator.semaphores().all().await,
        Kind::Election => coordinator.elections().all().await,
        Kind::Group => coordinator.groups().await,
        Kind::Topic => coordinator.topics().all().await,
    };
    match listed {
        Err(error) if kind == Kind::Topic && error.kind() == ErrorKind::Unsupported => Ok(Vec::new()),
        listed => {
            let mut names = listed?;
            names.sort_unstable();
            names.dedup();
            Ok(names)
        }
    }
}
