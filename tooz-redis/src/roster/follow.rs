//! Following a roster: a snapshot, then the changes, which the scripts publish with the versions before and after them.
//!
//! - The follower subscribes before it reads. It skips the changes that the snapshot contains, and applies those that begin
//!   at its version. If one begins elsewhere, a notification was lost, and it reads a snapshot again.
//! - The session asks for the version now and then, so the follower notices, too, that the last notification was lost.
//! - A roster of several pages may change while they are read. The changes that were published between the first page and
//!   the last one are applied to what was read: the last change of each entry decides, whichever page had it before.

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tooz_core::driver::support::content_version;
use tooz_core::driver::{Change, Entry, Follow, Roster, Seq, Snapshot, Update};
use tooz_core::{Error, ErrorKind, Result};

use crate::layout::parse_record;
use crate::notify::Notice;
use crate::session::RedisSession;

/// How many notices a follower takes at a time.
const BATCH: usize = 16;

/// A follower of one roster.
pub(crate) struct RedisFollower<'a> {
    session: &'a RedisSession,
    key: String,
    begun: Option<Begun>,
}

/// A follower that has read its snapshot.
struct Begun {
    notices: mpsc::Receiver<Notice>,
    /// The version after the last change.
    version: u64,
    /// The first changes of a step whose last one was not published yet.
    step: Vec<Change>,
}

impl<'a> RedisFollower<'a> {
    pub(crate) fn new(session: &'a RedisSession, roster: &Roster) -> Self {
        Self { session, key: session.layout.roster(roster), begun: None }
    }

    /// Follows the names that come into use, which are published as changes of a roster.
    pub(super) fn of_new_names(session: &'a RedisSession) -> Self {
        Self { session, key: session.layout.new_names(), begun: None }
    }

    async fn next_update(&mut self) -> Result<Update> {
        while let Some(begun) = &mut self.begun {
            match begun.next_changes().await? {
                Some(changes) if changes.is_empty() => {}
                Some(changes) => return Ok(Update::Changes(changes)),
                None => self.begun = None,
            }
        }
        self.begin().await
    }

    async fn begin(&mut self) -> Result<Update> {
        let notices = self.session.client.subscriptions.follow(&self.key).await?;
        let mut page = self.session.read_page(&self.key, true, None).await?;
        let mut begun = Begun { notices, version: page.version, step: Vec::new() };
        let (declared, mut entries) = (page.declared, Vec::new());
        while !page.is_last {
            let next = self.session.read_page(&self.key, true, page.entries.last()).await?;
            entries.append(&mut page.entries);
            page = next;
        }
        entries.append(&mut page.entries);
        let mut snapshot = snapshot(declared, entries);
        while begun.version < page.version {
            let changes = begun.next_changes().await?.ok_or_else(missed)?;
            changes.into_iter().for_each(|change| snapshot.apply(change));
        }
        self.begun = Some(begun);
        Ok(Update::Snapshot(snapshot))
    }
}

#[async_trait]
impl Follow for RedisFollower<'_> {
    async fn next(&mut self) -> Result<Update> {
        let session = self.session;
        session.state.until_end(self.next_update()).await
    }
}

impl Begun {
    /// Waits for notices. Returns the changes that they complete, or `None` if one was missed. Cancel safe.
    ///
    /// It takes a few notices at a time and lets other tasks run in between: a follower that is behind must delay no renewal.
    async fn next_changes(&mut self) -> Result<Option<Vec<Change>>> {
        yield_now().await;
        let Some(mut notice) = self.notices.recv().await else { return Ok(None) };
        let mut all = Vec::new();
        for _ in 1..BATCH {
            let Some(changes) = self.changes(&notice)? else { return Ok(None) };
            all.extend(changes);
            match self.notices.try_recv() {
                Ok(next) => notice = next,
                Err(_) => return Ok(Some(all)),
            }
        }
        Ok(self.changes(&notice)?.map(|changes| {
            all.extend(changes);
            all
        }))
    }

    fn changes(&mut self, notice: &Notice) -> Result<Option<Vec<Change>>> {
        let message = match notice {
            Notice::Version(version) if *version == 0 || *version > self.version => return Ok(None),
            Notice::Version(_) => return Ok(Some(Vec::new())),
            Notice::Message(message) => message,
        };
        let mut parts = message.splitn(4, |byte| *byte == b' ');
        let (before, version) = (number(parts.next()), number(parts.next()));
        let (change, content) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if version <= self.version {
            return Ok(Some(Vec::new()));
        }
        if before != self.version {
            return Ok(None);
        }
        self.version = version;
        self.step.extend(match change {
            b"entered" => Some(Change::Entered(parse_record(content)?)),
            b"left" | b"replaced" => Some(Change::Left(Seq(number(Some(content))))),
            b"value" => parse_record(content).map(|Entry { seq, value, .. }| Some(Change::Replaced { seq, value }))?,
            b"declared" => Some(Change::Declared(content == b"1")),
            _ => None,
        });
        // An entry that takes the place of another follows in the same step.
        Ok(Some(if change == b"replaced" { Vec::new() } else { std::mem::take(&mut self.step) }))
    }
}

/// A number, or 0 if it is none.
fn number(text: Option<&[u8]>) -> u64 {
    text.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok()).unwrap_or_default()
}

pub(super) fn snapshot(declared: bool, mut entries: Vec<Entry>) -> Snapshot {
    entries.sort_unstable_by_key(|entry| entry.seq);
    Snapshot { version: content_version(declared, &entries), declared, entries }
}

fn missed() -> Error {
    Error::new(ErrorKind::Unavailable, "a notification was missed while the roster was read")
}
