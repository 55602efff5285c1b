//! The names of all objects of a kind.

use tooz::{Coordinator, ErrorKind, Name, Result};

use super::kind::Kind;

/// Lists the objects of a kind that are in use, in byte order. A backend without topics has none.
pub(crate) async fn names(coordinator: &Coordinator, kind: Kind) -> Result<Vec<Name>> {
    let listed = match kind {
        Kind::Lock => Ok(Vec::new()),
        Kind::Semaphore => Ok(Vec::new()),
        Kind::Election => Ok(Vec::new()),
        Kind::Group => coordinator.groups().await,
        Kind::Topic => Ok(Vec::new()),
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
