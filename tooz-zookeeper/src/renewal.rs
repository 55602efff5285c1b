//! Until when a session lives.
//!
//! The leader alone expires sessions. A follower tells the leader of its clients every half tick, so it may answer a renewal that
//! the leader never hears of. Therefore:
//!
//! - A renewal proves that the leader knows of an earlier one that was answered at least half a tick before.
//! - The session lives at least until the granted timeout has passed since the last renewal that the leader must know of.
//! - The TTL is three quarters of the granted timeout. Core renews every third of the TTL, and as one renewal may be unknown to
//!   the leader, a whole TTL is left: 1 - 1/3 of 3/4 is 3/4. Less is left after renewals have failed or the host was suspended.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tooz_core::driver::support::lock;
use tooz_core::time::Moment;

use crate::client::Client;
use crate::error::Answer;

/// Half a tick, as a part of the least session timeout, which is two ticks and in this calculation three.
const HALF_TICK: u32 = 6;

/// The renewals of a session.
#[derive(Debug)]
pub(crate) struct Renewals {
    client: Arc<Client>,
    state: Mutex<Renewed>,
}

#[derive(Clone, Copy, Debug)]
struct Renewed {
    /// When the last renewal that was answered was sent.
    sent: Moment,
    /// When the last renewal that the leader must know of was sent.
    known: Moment,
    /// When a renewal was sent and answered of which the leader may not know yet.
    pending: (Moment, Moment),
}

impl Renewals {
    /// Starts with a session that was asked for at `opened` and whose first request was sent at `sent` and answered just now.
    pub(crate) fn new(client: Arc<Client>, opened: Moment, sent: Moment) -> Self {
        // The leader itself opens sessions, but may not know of the first request yet.
        Self { client, state: Mutex::new(Renewed { sent, known: opened, pending: (sent, Moment::now()) }) }
    }

    /// The TTL that core may count on.
    pub(crate) fn ttl(&self) -> Duration {
        self.client.session_timeout() * 3 / 4
    }

    /// When the session ends unless it is renewed.
    pub(crate) fn expiry(&self) -> Moment {
        let state = lock(&self.state);
        let (a_ttl_later, latest) = (state.sent + self.ttl(), state.known + self.client.session_timeout());
        if latest.saturating_duration_since(a_ttl_later).is_zero() { latest } else { a_ttl_later }
    }

    /// Renews the session once.
    pub(crate) async fn renew(&self) -> Answer<()> {
        let sent = Moment::now();
        self.client.renew().await?;
        let mut state = lock(&self.state);
        let (pending, answered) = state.pending;
        state.sent = sent;
        if sent.saturating_duration_since(answered) >= self.client.session_timeout() / HALF_TICK {
            state.known = pending;
            state.pending = (sent, Moment::now());
        }
        Ok(())
    }
}
