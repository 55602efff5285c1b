//! The health of a coordinator, for probes and operators.

use std::time::Duration;

use tokio::time::timeout;

use super::handle::Coordinator;
use super::target::run_operation;
use crate::driver::support::no_answer;
use crate::session::SessionState;
use crate::session::live::LiveSession;
use crate::time::Moment;
use crate::{Error, Result};

/// The health of a coordinator at one moment; see [`Coordinator::health`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// How long the backend took to answer one request, or why it did not.
    pub round_trip: Result<Duration>,
    /// The state of the session.
    pub state: SessionState,
    /// For how long the session lives without a further renewal. Zero if there is no session; `None` if the backend
    /// notices a crash without a timeout.
    pub remaining: Option<Duration>,
    /// The server as the driver describes it to people, if it does and there is a session.
    pub server: Option<String>,
}

impl Health {
    /// Whether the backend answers and the session lives.
    pub fn is_healthy(&self) -> bool {
        self.round_trip.is_ok() && self.state == SessionState::Connected
    }
}

impl Coordinator {
    /// Sends one request, a renewal of the session, and reports how long it took and how the session is.
    ///
    /// It returns within twice the request timeout, whatever the backend does. Cancel safe.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tooz_core::Error> {
    /// # let coordinator = tooz_core::connect("memory://health-doc").await?;
    /// let health = coordinator.health().await;
    /// assert!(health.is_healthy(), "{health:?}");
    /// # Ok(()) }
    /// ```
    pub async fn health(&self) -> Health {
        let mut session = None;
        let round_trip = async {
            let live = session.insert(self.live().await?);
            let sent = Moment::now();
            let limit = self.supervisor().options().timeout;
            let answer = timeout(limit, live.session().renew()).await;
            answer.unwrap_or_else(|_| Err(no_answer(self.driver_name(), limit)))?;
            live.renewed(sent);
            Ok::<_, Error>(Moment::now().saturating_duration_since(sent))
        };
        let round_trip = run_operation(self, "health", None, round_trip).await;
        let live = session.as_deref();
        Health {
            round_trip,
            state: self.state(),
            remaining: live
                .filter(|live| live.is_alive())
                .map_or(Some(Duration::ZERO), |live: &LiveSession| live.remaining()),
            server: live.and_then(|live| live.session().server()),
        }
    }
}
