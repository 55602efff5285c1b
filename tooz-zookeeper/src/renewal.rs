//! When a session ends unless it is renewed.
//!
//! The leader alone expires sessions. A follower tells the leader of its clients every half tick, so it may answer a renewal that
//! the leader never hears of. Therefore:
//!
//! - The TTL that core counts on is three quarters of the granted timeout. Core renews every third of the TTL, so that one
//!   renewal may be unknown to the leader: 3/4 + 1/3 of 3/4 is 1.
//! - After renewals have failed, a second renewal half a tick later proves that the leader knows of the first one.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::sleep;
use tooz_core::driver::support::lock;
use tooz_core::time::Moment;

use crate::client::Client;
use crate::error::Answer;

/// Half a tick, as a part of the least session timeout, which is two ticks and in this calculation three.
const HALF_TICK: u32 = 6;

/// A longer sleep would not notice in time that the host was suspended.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// The deadline of a session.
#[derive(Debug)]
pub(crate) struct Renewals {
    client: Arc<Client>,
    ttl: Duration,
    state: Mutex<Renewed>,
}

#[derive(Clone, Copy, Debug)]
struct Renewed {
    /// When the last renewal that the leader must know of was sent.
    known: Moment,
    /// When a later renewal was sent and answered; the leader may not know of it yet.
    pending: (Moment, Moment),
    deadline: Moment,
}

impl Renewals {
    /// Starts with a session that was asked for at `opened` and whose first request was sent at `sent` and answered just now.
    pub(crate) fn new(client: Arc<Client>, opened: Moment, sent: Moment) -> Self {
        let granted = client.session_timeout();
        let ttl = granted * 3 / 4;
        // The leader itself opens sessions, but may not know of the first request yet.
        let deadline = earlier(sent + ttl, opened + granted);
        let state = Mutex::new(Renewed { known: opened, pending: (sent, Moment::now()), deadline });
        Self { client, ttl, state }
    }

    /// The TTL that core may count on.
    pub(crate) fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Renews the session for a whole TTL.
    pub(crate) async fn renew(&self) -> Answer<()> {
        if !self.renew_once().await? {
            sleep(self.client.session_timeout() / HALF_TICK).await;
            self.renew_once().await?;
        }
        Ok(())
    }

    /// Returns when the session has ended, or has not been renewed in time.
    pub(crate) async fn expired(&self) {
        loop {
            let remaining = lock(&self.state).deadline.remaining();
            if remaining.is_zero() || self.client.check().is_err() {
                return;
            }
            tokio::select! {
                () = sleep(remaining.min(LONGEST_SLEEP)) => {}
                _ = self.client.ended() => {}
            }
        }
    }

    /// Returns false if the leader may count from a renewal so long ago that this one promises less than a TTL.
    async fn renew_once(&self) -> Answer<bool> {
        let sent = Moment::now();
        self.client.renew().await?;
        let granted = self.client.session_timeout();
        let mut state = lock(&self.state);
        let (pending, answered) = state.pending;
        // Two renewals that were answered at one moment prove nothing about the first.
        if sent.saturating_duration_since(answered) >= granted / HALF_TICK {
            state.known = later(state.known, pending);
            state.pending = (sent, Moment::now());
        }
        let promised = earlier(sent + self.ttl, state.known + granted);
        state.deadline = later(state.deadline, promised);
        Ok((sent + self.ttl).saturating_duration_since(promised) <= granted / 40)
    }
}

fn later(a: Moment, b: Moment) -> Moment {
    if b.saturating_duration_since(a).is_zero() { a } else { b }
}

fn earlier(a: Moment, b: Moment) -> Moment {
    if b.saturating_duration_since(a).is_zero() { b } else { a }
}
