//! The verbs that change a roster.
//!
//! An entry is an ephemeral sequential znode. Its name carries the nonce, so that a repeated attempt finds it, and its
//! creation zxid is its seq: it rises with every write to the ensemble, also after the roster's parent was removed.

use futures_util::{future::join_all, join};
use tooz_core::driver::{IfBlocked, IfTaken, Key, NewEntry, Roster, Seq, Standing, Ticket};
use tooz_core::{Error, ErrorKind, Result};

use crate::client::{Answer, Fault, Make};
use crate::error::{check_size, group_not_created, not_held, taken};
use crate::layout::EntryName;
use crate::line::{Line, Listed};
use crate::mine::Placed;
use crate::session::{Inner, create_all};
use crate::sweep::UNDECLARED;
use crate::turn::Ahead;
use crate::watch::guard;

/// What the roster looked like when an entry was created, or found.
#[derive(Debug)]
struct Arrival {
    line: Line,
    index: usize,
    /// Known if the entry was just created.
    seq: Option<Seq>,
}

pub(crate) fn seq(czxid: i64) -> Seq {
    Seq(czxid.unsigned_abs())
}

impl Inner {
    pub(crate) async fn enter(self: &std::sync::Arc<Self>, roster: &Roster, new: NewEntry<'_>) -> Result<Standing> {
        self.client.check()?;
        let parent = self.layout.roster(roster);
        check_size(&parent, new.value)?;
        let busy = self.mine.busy(new.nonce, &parent);
        let _one_at_a_time = busy.lock().await;
        // A withdrawal may have taken the first one's place away while we waited for our turn.
        self.mine.busy(new.nonce, &parent);
        self.parents.used(&parent);
        let outcome = self.enter_line(&parent, &new).await;
        let settled = match &outcome {
            Ok(standing) => matches!(standing, Standing::Withdrawn { .. }),
            Err(error) => !matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::SessionLost),
        };
        if settled {
            self.mine.forget(new.nonce);
        }
        outcome
    }

    async fn enter_line(self: &std::sync::Arc<Self>, parent: &str, new: &NewEntry<'_>) -> Result<Standing> {
        loop {
            let arrival = match self.look_first(parent, new).await? {
                Look::Refused(standing) => return Ok(standing),
                Look::Found(arrival) => Some(arrival),
                Look::Free => self.arrive(parent, new).await?,
            };
            let Some(arrival) = arrival else { continue };
            if let Some(standing) = self.settle(parent, new, arrival).await? {
                return Ok(standing);
            }
        }
    }

    /// Looks at the roster before an entry is created, where that is needed: an earlier attempt may have created it,
    /// and an entry that would not stay should not be seen at all.
    async fn look_first(&self, parent: &str, new: &NewEntry<'_>) -> Result<Look> {
        let tried = self.mine.tried(new.nonce)?;
        let may_refuse = matches!(new.key, Key::Unique(_, IfTaken::Refuse));
        if !tried && !may_refuse && new.if_blocked == IfBlocked::Wait {
            return Ok(Look::Free);
        }
        // An entry that stands is told where it stands now, not where a follower saw it last.
        let line = if tried { self.line_now(parent).await? } else { self.line(parent).await? };
        if let Some(index) = line.find(new.nonce) {
            return Ok(Look::Found(Arrival { line, index, seq: None }));
        }
        if !turns_away(&line, new) {
            return Ok(Look::Free);
        }
        // What a follower says may be old, and saying no must be right.
        let line = self.line_now(parent).await?;
        if !turns_away(&line, new) {
            return Ok(Look::Free);
        }
        if may_refuse && !line.same_key(line.entries().len(), key_of(new)).is_empty() {
            return Err(taken());
        }
        let blocker =
            line.blockers(line.entries().len(), new.mode, new.limit).first().map(|listed| path(parent, listed));
        match self.client.exists(&blocker.unwrap_or_default()).await? {
            Some(stat) => Ok(Look::Refused(Standing::Withdrawn { blocked_by: seq(stat.czxid) })),
            None => Ok(Look::Free),
        }
    }

    /// Creates the entry and lists the roster, both in one round trip unless the line is long; `None` if it must be tried again.
    async fn arrive(&self, parent: &str, new: &NewEntry<'_>) -> Result<Option<Arrival>> {
        self.mine.trying(new.nonce);
        let prefix = format!("{parent}/{}", EntryName::prefix(new));
        let creating = self.client.create(&prefix, new.value, Make::EphemeralSequential);
        let looking = async || join!(self.client.children(parent), self.is_declared_if_needed(parent, new));
        let (created, looked) = if self.parents.has_long_line(parent) {
            // Whoever has the turn just now should not have to wait for our listing.
            (creating.await, None)
        } else {
            let (created, looked) = join!(creating, looking());
            (created, Some(looked))
        };
        let (path, stat) = match created {
            Err(Fault::NoNode) if new.needs_declared => return Err(group_not_created()),
            Err(Fault::NoNode) => {
                create_all(&self.client, parent).await?;
                return Ok(None);
            }
            created => created?,
        };
        if stat.owner != self.id {
            return Err(self.client.end("the client library replaced it").into());
        }
        let (children, declared) = match looked {
            Some(looked) => looked,
            None => looking().await,
        };
        if !declared? {
            self.delete(&path).await?;
            return Err(group_not_created());
        }
        let line = Line::new(children?);
        let Some(index) = line.find(new.nonce) else { return Ok(None) };
        Ok(Some(Arrival { line, index, seq: Some(seq(stat.czxid)) }))
    }

    async fn is_declared_if_needed(&self, parent: &str, new: &NewEntry<'_>) -> Answer<bool> {
        if !new.needs_declared {
            return Ok(true);
        }
        Ok(self.client.exists(parent).await?.is_some_and(|stat| stat.version != UNDECLARED))
    }

    /// Decides what becomes of an entry that stands; `None` if the roster has changed meanwhile.
    async fn settle(
        self: &std::sync::Arc<Self>,
        parent: &str,
        new: &NewEntry<'_>,
        arrival: Arrival,
    ) -> Result<Option<Standing>> {
        let Arrival { line, index, seq: known } = arrival;
        let own = path(parent, &line.entries()[index]);
        self.settle_key(parent, new, &line, index, &own).await?;
        let own_seq = match known {
            Some(seq) => seq,
            None => match self.client.exists(&own).await? {
                Some(stat) => seq(stat.czxid),
                None => return Ok(None),
            },
        };
        let ticket = Ticket { seq: own_seq, nonce: new.nonce, mode: new.mode, limit: new.limit };
        let nearest = line.blockers(index, new.mode, new.limit).first().copied();
        self.parents.listed(parent, nearest.map_or(0, |_| line.entries().len()));
        let Some(nearest) = nearest else {
            self.place(ticket, own, None);
            return Ok(Some(Standing::Admitted(ticket)));
        };
        let Some((bell, _)) = self.mine.bell(new.nonce) else { return Err(not_held()) };
        let (blocked_by, watch) = match self.client.data_watched(&path(parent, nearest), &bell).await {
            Err(Fault::NoNode) => return Ok(None),
            read => read.map(|(_, stat, watch)| (seq(stat.czxid), watch))?,
        };
        if new.if_blocked == IfBlocked::Withdraw {
            self.delete(&own).await?;
            return Ok(Some(Standing::Withdrawn { blocked_by }));
        }
        // Only a mutex's waiter has nothing but its blocker to wait for.
        let ahead = Ahead { watch, passes_on: line.passes_on(index, nearest) };
        self.place(ticket, own, (new.limit.get() == 1).then_some(ahead));
        Ok(Some(Standing::Waiting { ticket, blocked_by }))
    }

    /// Gives way to an earlier entry with the same unique key, or removes it, after which ours counts.
    async fn settle_key(&self, parent: &str, new: &NewEntry<'_>, line: &Line, index: usize, own: &str) -> Result<()> {
        let earlier = line.same_key(index, key_of(new));
        match new.unique_key() {
            Some((_, IfTaken::TakeOver)) => {
                for listed in earlier {
                    self.delete(&path(parent, listed)).await?;
                }
                Ok(())
            }
            Some(_) if !earlier.is_empty() => {
                self.delete(own).await?;
                Err(taken())
            }
            _ => Ok(()),
        }
    }

    fn place(self: &std::sync::Arc<Self>, ticket: Ticket, path: String, ahead: Option<Ahead>) {
        let placed = Placed { path: path.clone(), seq: ticket.seq };
        let sentry = || tokio::spawn(guard(std::sync::Arc::downgrade(self), ticket.nonce, path)).abort_handle();
        self.mine.place(ticket.nonce, placed, ahead, sentry);
    }

    pub(crate) async fn leave(&self, roster: &Roster, ticket: &Ticket) -> Result<bool> {
        self.client.check()?;
        let parent = self.layout.roster(roster);
        self.parents.used(&parent);
        let Some(path) = self.find(&parent, ticket).await? else { return Ok(false) };
        self.mine.leaving(ticket.nonce);
        let removed = self.delete(&path).await?;
        self.mine.forget(ticket.nonce);
        Ok(removed)
    }

    pub(crate) async fn replace(&self, roster: &Roster, ticket: &Ticket, value: &[u8]) -> Result<()> {
        self.client.check()?;
        let parent = self.layout.roster(roster);
        check_size(&parent, value)?;
        let path = self.find(&parent, ticket).await?.ok_or_else(not_held)?;
        match self.client.set_data(&path, value, None).await {
            Err(Fault::NoNode) => Err(not_held()),
            outcome => outcome.map(drop).map_err(Error::from),
        }
    }

    pub(crate) async fn evict(&self, roster: &Roster, seq_: Seq) -> Result<bool> {
        let parent = self.layout.roster(roster);
        let line = self.line_now(&parent).await?;
        let paths: Vec<_> = line.entries().iter().map(|listed| path(&parent, listed)).collect();
        let stats = join_all(paths.iter().map(|path| self.client.exists(path))).await;
        for (path, stat) in paths.iter().zip(stats) {
            if stat?.is_some_and(|stat| seq(stat.czxid) == seq_) {
                return self.delete(path).await;
            }
        }
        Ok(false)
    }

    /// The entries that stand, as this server knows them.
    pub(crate) async fn line(&self, parent: &str) -> Result<Line> {
        Ok(Line::new(none_if_missing(self.client.children(parent).await)?.unwrap_or_default()))
    }

    /// The entries that stand, in one round trip through the leader.
    async fn line_now(&self, parent: &str) -> Result<Line> {
        let (touched, line) = join!(self.client.touch(), self.line(parent));
        touched?;
        line
    }

    /// The path of our entry with this ticket. No request is needed unless this session has forgotten it.
    async fn find(&self, parent: &str, ticket: &Ticket) -> Result<Option<String>> {
        if let Some(placed) = self.mine.placed(ticket.nonce) {
            let same_roster = placed.path.rsplit_once('/').is_some_and(|(roster, _)| roster == parent);
            return Ok((placed.seq == ticket.seq && same_roster).then_some(placed.path));
        }
        let line = self.line(parent).await?;
        let Some(index) = line.find(ticket.nonce) else { return Ok(None) };
        let path = path(parent, &line.entries()[index]);
        let stat = self.client.exists(&path).await?;
        Ok(stat.is_some_and(|stat| seq(stat.czxid) == ticket.seq && stat.owner == self.id).then_some(path))
    }

    /// Removes a znode and says whether it was there.
    pub(crate) async fn delete(&self, path: &str) -> Result<bool> {
        Ok(none_if_missing(self.client.delete(path, None).await)?.is_some())
    }
}

#[derive(Debug)]
enum Look {
    Free,
    Found(Arrival),
    Refused(Standing),
}

/// Whether an entry at the end of the line would not stay there.
fn turns_away(line: &Line, new: &NewEntry<'_>) -> bool {
    let end = line.entries().len();
    let blocked = new.if_blocked == IfBlocked::Withdraw && !line.blockers(end, new.mode, new.limit).is_empty();
    blocked || matches!(new.key, Key::Unique(_, IfTaken::Refuse)) && !line.same_key(end, key_of(new)).is_empty()
}

fn key_of<'a>(new: &NewEntry<'a>) -> Option<&'a [u8]> {
    new.unique_key().map(|(key, _)| key)
}

pub(crate) fn path(parent: &str, listed: &Listed) -> String {
    format!("{parent}/{}", listed.name)
}

pub(crate) fn none_if_missing<T>(answer: Answer<T>) -> Answer<Option<T>> {
    match answer {
        Err(Fault::NoNode) => Ok(None),
        answer => answer.map(Some),
    }
}
