//! What a waiter asks when the one ahead of it may have gone, in one round trip.

use std::sync::Arc;

use futures_util::join;

use super::{Answer, Client, Wire};

/// What [`Client::follows`] reads.
#[derive(Debug)]
pub(crate) struct Follows {
    /// Whether the one ahead has gone.
    pub(crate) gone: bool,
    /// Whether the own znode stands, by an answer that is not from before the one above.
    pub(crate) stands: bool,
    pub(crate) said: Option<Vec<u8>>,
}

impl Client {
    /// Whether `ahead` has gone and then `own` stands, and what `turn` says. Requests of one call are sent in order, and
    /// no server answers with less than was answered before.
    pub(crate) async fn follows(&self, ahead: &str, own: &str, turn: &str) -> Answer<Follows> {
        let (ahead, own, turn) = (ahead.to_owned(), own.to_owned(), turn.to_owned());
        let reading = move |wire: Arc<Wire>| async move {
            let (ahead, own, said) =
                join!(wire.exists(&ahead, false), wire.exists(&own, false), wire.data(&turn, false));
            Ok(Follows { gone: ahead?.is_none(), stands: own?.is_some(), said: said.ok().map(|(said, _)| said) })
        };
        self.requests(3, reading).await
    }
}
