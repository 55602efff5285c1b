//! The turn in a long line, where a listing is dear: who was admitted after waiting says so, and the next need not list.
//!
//! Nothing that blocks stands before an entry that was admitted, and others come at the end only. So the one right
//! behind it is admitted when it goes. A name is given once, so what was said of it stays true: something that is said
//! late, or was lost, costs a listing.

use std::sync::Arc;

use futures_util::poll;
use tooz_core::Result;
use tooz_core::driver::{Mode, Ticket};

use crate::client::{Answer, Fault, Make, Watch};
use crate::error::not_held;
use crate::session::{Inner, create_all};

/// From how many entries on a line is long: to list fewer is no dearer than to say whose turn it is.
const LONG: usize = 64;

pub(crate) fn is_long(entries: usize) -> bool {
    entries >= LONG
}

/// What an entry waits for.
#[derive(Debug)]
pub(crate) struct Ahead {
    pub(crate) watch: Watch,
    /// Whether nothing else can block ours if that one was admitted.
    pub(crate) passes_on: bool,
}

impl Inner {
    /// Whether our entry is admitted since the one ahead of it was, which has gone. False if that is not known.
    pub(crate) async fn succeeds(self: &Arc<Self>, parent: &str, ticket: &Ticket, ahead: &[Ahead]) -> Result<bool> {
        let [Ahead { watch, passes_on: true }] = ahead else { return Ok(false) };
        let Some(own) = self.mine.placed(ticket.nonce) else { return Ok(false) };
        if !self.parents.has_long_line(parent) {
            return Ok(false);
        }
        let read = self.client.follows(watch.path(), &own.path, &self.layout.turn(parent)).await?;
        if !read.stands {
            return Err(not_held());
        }
        let Some((admitted, rest)) = read.said.as_deref().and_then(parse) else { return Ok(false) };
        let succeeds = read.gone && admitted == name(watch.path());
        if succeeds && rest > 1 {
            self.announce(parent, ticket, rest - 1).await;
        }
        Ok(succeeds)
    }

    /// Tells the one behind that our entry was admitted, and that the next `rest` may do the same without a listing.
    /// Waits for no answer.
    pub(crate) async fn announce(self: &Arc<Self>, parent: &str, ticket: &Ticket, rest: usize) {
        let Some(own) = self.mine.placed(ticket.nonce) else { return };
        if ticket.mode != Mode::Exclusive || ticket.limit.get() != 1 {
            return;
        }
        self.parents.announced(parent);
        let (inner, turn) = (self.clone(), self.layout.turn(parent));
        let said = format!("{} {rest}", name(&own.path));
        let mut saying = Box::pin(async move { inner.say(&turn, said.as_bytes()).await });
        // It is sent before the entry can leave.
        if poll!(&mut saying).is_pending() {
            tokio::spawn(saying);
        }
    }

    async fn say(&self, turn: &str, said: &[u8]) -> Answer<()> {
        match self.client.set_data(turn, said, None).await {
            Err(Fault::NoNode) => {}
            outcome => return outcome.map(drop),
        }
        // It goes with the session that has made it, and is made again by another.
        match self.client.create(turn, said, Make::Ephemeral).await {
            Err(Fault::NoNode) => {}
            outcome => return outcome.map(drop),
        }
        create_all(&self.client, turn.rsplit_once('/').map_or("", |(parent, _)| parent)).await?;
        self.client.create(turn, said, Make::Ephemeral).await.map(drop)
    }
}

/// Who was admitted, and how many may go on.
fn parse(said: &[u8]) -> Option<(&str, usize)> {
    let (name, rest) = std::str::from_utf8(said).ok()?.rsplit_once(' ')?;
    Some((name, rest.parse().ok()?))
}

fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}
