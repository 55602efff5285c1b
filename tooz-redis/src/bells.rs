//! Wake-ups inside the process, by name: of a channel, or of the nonce of an entry that waits for its turn.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// What a ring means.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum News {
    /// Something may have changed.
    #[default]
    Look,
    /// The entry was admitted.
    Turn,
    /// The entry was removed by somebody else.
    Lost,
}

/// Bells that are made when somebody listens and forgotten when nobody does.
#[derive(Debug, Default)]
pub(crate) struct Bells(Mutex<HashMap<String, watch::Sender<News>>>);

impl Bells {
    /// Listens from now on; `changed` on the receiver completes after the next ring, also one before it is polled.
    pub(crate) fn listen(&self, name: &str) -> watch::Receiver<News> {
        let mut bells = self.bells();
        match bells.get(name) {
            Some(bell) => bell.subscribe(),
            None => bells.entry(name.to_owned()).or_default().subscribe(),
        }
    }

    /// Wakes those who listen to `name`.
    pub(crate) fn ring(&self, name: &str, news: News) {
        if let Some(bell) = self.bells().get(name) {
            bell.send_replace(news);
        }
    }

    /// Wakes everybody.
    pub(crate) fn ring_all(&self) {
        self.bells().values().for_each(|bell| {
            bell.send_replace(News::Look);
        });
    }

    /// Whether somebody listens to `name`.
    pub(crate) fn is_heard(&self, name: &str) -> bool {
        self.bells().get(name).is_some_and(|bell| bell.receiver_count() > 0)
    }

    /// Forgets the bells that nobody listens to.
    pub(crate) fn tidy(&self) {
        self.bells().retain(|_, bell| bell.receiver_count() > 0);
    }

    fn bells(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<News>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
