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
use tooz_core::driver::{Change, Entry, Follow, NewName, Roster, Seq, Snapshot, Update};
use tooz_core::{Error, ErrorKind, Result};

use crate::layout::{ShardKey, new_name, parse_record};
use crate::notify::Notice;
use crate::session::RedisSession;

/// How many notices a follower takes at a time.
const BATCH: usize = 16;

/// A follower of one roster.
pub(crate) struct RedisFollower<'a> {
    session: &'a RedisSession,
    key: ShardKey,
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

/// What a notice tells a follower.
enum Published<'a> {
    /// The next change: its kind and its content.
    Change(&'a [u8], &'a [u8]),
    /// What the follower knows already.
    Nothing,
    /// There were changes that the follower has not received.
    Missed,
}

impl<'a> RedisFollower<'a> {
    pub(crate) fn new(session: &'a RedisSession, roster: &Roster) -> Self {
        Self { session, key: session.layout().roster(roster), begun: None }
    }

    /// Follows the names that come into use in a shard, which are published as changes of a roster. Then call
    /// [`next_name`](Self::next_name).
    pub(super) fn of_new_names(session: &'a RedisSession, shard: usize) -> Self {
        Self { session, key: session.layout().new_names(shard), begun: None }
    }

    /// The next name that comes into use; [`NewName::Any`] when the follower begins, or begins anew.
    pub(super) async fn next_name(&mut self) -> Result<NewName> {
        while let Some(begun) = &mut self.begun {
            match begun.notices.recv().await.as_ref().map_or(Published::Missed, |notice| begun.read(notice)) {
                Published::Change(_, name) => return new_name(name),
                Published::Nothing => {}
                Published::Missed => self.begun = None,
            }
        }
        self.begin().await.map(|_| NewName::Any)
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
        let notices = self.session.client.subscriptions.follow(&self.key.name).await?;
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
        session.end.until_end(self.next_update()).await
    }
}

impl Begun {
    /// Waits for notices. Returns the changes that they complete, or `None` if one was missed. Cancel safe.
    ///
    /// It takes a few notices at a time and lets other tasks run in between: a follower that is behind must delay no renewal.
    async fn next_changes(&mut self) -> Result<Option<Vec<Change>>> {
        yield_now().await;
        let (mut notices, mut completed) = (Vec::new(), Vec::new());
        self.notices.recv_many(&mut notices, BATCH).await;
        for notice in &notices {
            let Some(changes) = self.changes(notice)? else { return Ok(None) };
            completed.extend(changes);
        }
        Ok((!notices.is_empty()).then_some(completed))
    }

    fn changes(&mut self, notice: &Notice) -> Result<Option<Vec<Change>>> {
        let (change, content) = match self.read(notice) {
            Published::Change(change, content) => (change, content),
            Published::Nothing => return Ok(Some(Vec::new())),
            Published::Missed => return Ok(None),
        };
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

    /// Compares the versions of a notice with the last one that was seen.
    fn read<'a>(&mut self, notice: &'a Notice) -> Published<'a> {
        let message = match notice {
            Notice::Version(version) if *version == 0 || *version > self.version => return Published::Missed,
            Notice::Version(_) => return Published::Nothing,
            Notice::Message(message) => message,
        };
        let mut parts = message.splitn(4, |byte| *byte == b' ');
        let (before, version) = (number(parts.next()), number(parts.next()));
        if version <= self.version {
            return Published::Nothing;
        }
        if before != self.version {
            return Published::Missed;
        }
        self.version = version;
        Published::Change(parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
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
