//! The loop of the view: updates of the backend, keys and the clock.

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use crossterm::event::{Event, EventStream, KeyEventKind};
use futures_util::StreamExt;
use ratatui::DefaultTerminal;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep_until};
use tooz::{Coordinator, SessionState};

use super::feed;
use super::keys::{self, Action};
use super::model::Model;
use super::screen::{self, Title};
use super::update::Update;
use crate::backend::Backend;
use crate::commands::session::with_session;
use crate::exit::{Failure, Result, USAGE};
use crate::inspect::Object;

/// The shortest time between two frames.
const FRAME: Duration = Duration::from_millis(40);
/// How often the ages on the screen are computed anew.
const CLOCK: Duration = Duration::from_secs(1);

/// Shows what is in use, live: locks, semaphores and elections with holders and waiters, groups and topics.
///
/// The backend reports each change, which is shown at once. While nothing changes, it is not asked.
#[derive(Args, Debug)]
pub(crate) struct Top {}

impl Top {
    pub(crate) async fn run(&self, backend: &Backend) -> Result<u8> {
        if !std::io::stdout().is_terminal() {
            return Err(Failure::new(USAGE, "top needs a terminal; `tooz ls --json` is for programs"));
        }
        let shown = backend.parsed()?.to_string();
        with_session(backend, async |coordinator| {
            let updates = feed::start(coordinator);
            let mut terminal = ratatui::try_init()?;
            // Restores the terminal on every way out.
            let _restore = Restore;
            View { coordinator, shown, model: Model::default() }.show(&mut terminal, updates).await
        })
        .await
    }
}

/// Restores the terminal when it is dropped.
struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

struct View<'a> {
    coordinator: &'a Coordinator,
    shown: String,
    model: Model,
}

impl View<'_> {
    async fn show(mut self, terminal: &mut DefaultTerminal, mut updates: mpsc::Receiver<Update>) -> Result<u8> {
        let (mut keys, mut clock) = (EventStream::new(), interval(CLOCK));
        let mut next_frame = Instant::now();
        let mut is_stale = true;
        loop {
            tokio::select! {
                Some(update) = updates.recv() => {
                    self.model.apply(update);
                    is_stale = true;
                }
                event = keys.next() => match event {
                    Some(Ok(event)) => {
                        if self.handle(&event).await == Action::Quit {
                            return Ok(0);
                        }
                        is_stale = true;
                    }
                    // The terminal is gone.
                    _ => return Ok(0),
                },
                _ = clock.tick() => is_stale = true,
                () = sleep_until(next_frame), if is_stale => {
                    self.model.arrange();
                    let title = self.title();
                    terminal.draw(|frame| screen::draw(frame, &self.model, &title))?;
                    (is_stale, next_frame) = (false, Instant::now() + FRAME);
                }
            }
        }
    }

    async fn handle(&mut self, event: &Event) -> Action {
        let action = match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => keys::press(*key, &mut self.model),
            _ => Action::Redraw,
        };
        if let Action::Break(object) = &action {
            self.model.message = self.break_holders(object).await;
        }
        action
    }

    async fn break_holders(&self, object: &Object) -> String {
        match object.break_holders(self.coordinator).await {
            Ok(holders) if holders.is_empty() => format!("nothing held {} {}", object.kind, object.name),
            Ok(holders) => format!("broke {} {}, which {} held", object.kind, object.name, holders[0].member),
            Err(error) => error.to_string(),
        }
    }

    fn title(&self) -> Title {
        let state = match self.coordinator.state() {
            SessionState::Connected => "connected",
            SessionState::Suspended { .. } => "the backend does not answer",
            _ => "the session is lost; connecting again",
        };
        Title { backend: format!("{} ({})", self.shown, self.coordinator.namespace()), state: state.to_owned() }
    }
}
