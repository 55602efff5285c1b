//! Waiting for one's turn.

use std::num::NonZeroU32;

use etcd_client::{Compare, CompareOp, GetOptions, KeyValue, Txn, TxnOp};
use tooz_core::Result;
use tooz_core::driver::{Mode, Roster, Seq, Standing, Ticket};

use crate::client::lock;
use crate::enter::nearest_first;
use crate::error::not_held;
use crate::layout::{Head, KeyRange, RosterKeys, revision, seq};
use crate::places::are_close;
use crate::roster::stands;
use crate::session::{EtcdSession, gets, ranges};
use crate::watch::{Events, Subscription};

/// In a line of this many who is admitted says so, and the one behind need not look: a write that nobody waits for
/// instead of a read that somebody waits for and that grows with the line.
const LONG_LINE: u64 = 4;

/// Up to this many blockers are watched one by one, so that only the next in line wake; above it, the whole roster is.
const WATCHED_ONE_BY_ONE: usize = 16;

/// An entry that stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blocker {
    key: Vec<u8>,
    revision: i64,
}

/// What keeps an entry waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blockers {
    /// The nearest conflicting entries before it, as many as its limit, latest first.
    nearest: Vec<Blocker>,
    /// There is none before these, so that the entry is admitted when one of them goes: entries come after it only.
    alone: bool,
}

/// The place of an entry among those that conflict with it.
#[derive(Debug)]
pub(crate) enum Turn {
    Admitted,
    Blocked(Blockers),
}

impl Blockers {
    /// The blocker of an entry that waits for that one to go.
    fn only(&self) -> Option<&Blocker> {
        self.nearest.first().filter(|_| self.nearest.len() == 1)
    }

    /// Whether the entry and its only blocker are watched as one range, so that the order of the two is told. The keys
    /// between the two should be few; and an entry that found one other only is one of few that see this.
    fn told_in_order(&self, key: &[u8]) -> bool {
        self.only().is_some_and(|only| self.alone || are_close(key, &only.key))
    }
}

/// What an event means for who waits.
#[derive(Debug)]
enum News {
    Nothing,
    /// A look at the line will tell.
    Unclear,
    /// And this many stand in the line, if that is known.
    Admitted {
        line: u64,
    },
}

/// An entry that waits and has not been waited for yet.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) blockers: Blockers,
    /// What the entry holds, for [`EtcdSession::announce`].
    pub(crate) value: Vec<u8>,
}

impl Turn {
    /// `before`: the conflicting entries before it, latest first; one more than the limit at least, if there are.
    pub(crate) fn new(mut before: Vec<KeyValue>, limit: NonZeroU32) -> Self {
        let limit = limit.get() as usize;
        if before.len() < limit {
            return Self::Admitted;
        }
        let alone = before.len() == limit;
        before.truncate(limit);
        let blocker = |stored: KeyValue| Blocker { revision: stored.create_revision(), key: stored.into_key_value().0 };
        Self::Blocked(Blockers { nearest: before.into_iter().map(blocker).collect(), alone })
    }

    pub(crate) fn standing(&self, ticket: Ticket) -> Standing {
        match self {
            Self::Blocked(Blockers { nearest, .. }) if !nearest.is_empty() => {
                Standing::Waiting { ticket, blocked_by: Seq(nearest[0].revision.unsigned_abs()) }
            }
            _ => Standing::Admitted(ticket),
        }
    }
}

impl EtcdSession {
    /// Wakes when one of the blockers or our own entry is gone, and looks again unless that says it all.
    ///
    /// An entry with limit n is blocked by n entries or more. As long as the n nearest of them stand, so it stays,
    /// whoever else leaves; so it is enough to watch these.
    pub(crate) async fn wait_for_turn(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        let keys = self.layout.roster(roster);
        let Some(key) = self.key_of(&keys, ticket) else { return self.check_session().await.and(Err(not_held())) };
        let remembered = lock(&self.waiting).remove(&ticket.nonce);
        let (mut blockers, value) = match remembered {
            Some(Waiting { blockers, value }) => (blockers, Some(value)),
            None => match self.turn(&keys, &key, ticket).await?.0 {
                Turn::Admitted => return Ok(()),
                Turn::Blocked(blockers) => (blockers, None),
            },
        };
        let one_by_one = ticket.limit.get() as usize <= WATCHED_ONE_BY_ONE;
        loop {
            let mut subscription = self.watch(&keys, &key, ticket, &blockers).await?;
            // What happened before the watch began is not told by it.
            let mut wait = one_by_one && self.still_blocked(&key, ticket, &blockers.nearest).await?;
            blockers = loop {
                if wait {
                    subscription.changed().await?;
                    match self.after_event(&subscription, &key, ticket, &blockers).await? {
                        News::Admitted { line } => {
                            self.announce(&key, ticket, value.as_deref(), line);
                            return Ok(());
                        }
                        News::Nothing => continue,
                        News::Unclear => {}
                    }
                }
                match self.turn(&keys, &key, ticket).await? {
                    (Turn::Admitted, line) => {
                        self.announce(&key, ticket, value.as_deref(), line);
                        return Ok(());
                    }
                    (Turn::Blocked(others), _) if one_by_one && others != blockers => break others,
                    (Turn::Blocked(_), _) => wait = true,
                }
            };
        }
    }

    /// Watches what may admit the entry.
    async fn watch(&self, keys: &RosterKeys, key: &[u8], ticket: &Ticket, blockers: &Blockers) -> Result<Subscription> {
        let only = blockers.only().map(|only| &*only.key);
        let (ranges, apart) = match only {
            Some(only) if blockers.told_in_order(key) => (vec![KeyRange::between(key, only)], vec![key, only]),
            _ => (ranges_to_watch(keys, ticket.mode, key, &blockers.nearest), only.into_iter().collect()),
        };
        let watched = ranges.into_iter().map(|range| (range, Events::Deletes)).collect();
        self.watches.subscribe_telling(watched, &apart).await
    }

    /// What an event means, as far as that can be told without a look at the line.
    async fn after_event(&self, seen: &Subscription, key: &[u8], ticket: &Ticket, blockers: &Blockers) -> Result<News> {
        let Some(only) = blockers.only() else { return Ok(News::Unclear) };
        let gone = seen.gone(&only.key);
        let line = gone.as_ref().and_then(|gone| Head::parse(&gone.held)?.0.line);
        let next = line.unwrap_or_default().saturating_sub(1);
        if blockers.told_in_order(key) {
            if seen.gone(key).is_some() {
                return Ok(News::Unclear);
            }
            // Else ours still stood when that one went.
            return Ok(match gone {
                None => News::Nothing,
                // The first, or the only one before ours.
                Some(_) if line.is_some() || blockers.alone => News::Admitted { line: next },
                Some(_) => News::Unclear,
            });
        }
        Ok(match gone.filter(|_| line.is_some()) {
            Some(first) if self.stood_at(first.revision, key, ticket).await? => News::Admitted { line: next },
            _ => News::Unclear,
        })
    }

    /// Whether our entry stood at the revision, or later. False also if the member that answers does not know that
    /// revision yet. Asks that one alone, which is quicker than all of them together.
    async fn stood_at(&self, revision: i64, key: &[u8], ticket: &Ticket) -> Result<bool> {
        let (key, options) = (key.to_vec(), GetOptions::new().with_keys_only().with_serializable());
        let limit = self.client.timeout();
        let read = self.client.call(limit, |mut connection| async move { connection.kv.get(key, Some(options)).await });
        let read = read.await?;
        let knows = read.header().is_some_and(|header| header.revision() >= revision);
        Ok(knows && read.kvs().first().is_some_and(|stored| seq(stored) == ticket.seq))
    }

    /// Says in our entry that it was admitted, if `line` entries are a long line. Nothing before it can come back, so
    /// who stands right behind it is admitted when it goes, and sees in its last value that it is so.
    fn announce(&self, key: &[u8], ticket: &Ticket, value: Option<&[u8]>, line: u64) {
        let alone = ticket.mode == Mode::Exclusive && ticket.limit == NonZeroU32::MIN;
        let Some(value) = value.filter(|_| alone && line >= LONG_LINE) else { return };
        // An entry that was replaced meanwhile says nothing.
        let untouched = Compare::mod_revision(key, CompareOp::Equal, revision(ticket));
        let head = Head { nonce: ticket.nonce, limit: ticket.limit, line: Some(line) };
        let txn = Txn::new().when([untouched]).and_then([TxnOp::put(key, head.before(value), self.bound())]);
        let client = self.client.clone();
        tokio::spawn(async move {
            if let Err(error) = client.txn(txn).await {
                tracing::debug!(%error, "the next in line will have to look");
            }
        });
    }

    /// Whether our entry and all of its blockers stand: cheap, however long the line is.
    async fn still_blocked(&self, key: &[u8], ticket: &Ticket, blockers: &[Blocker]) -> Result<bool> {
        let stand = |blocker: &Blocker| Compare::create_revision(&*blocker.key, CompareOp::Equal, blocker.revision);
        let mut compares = vec![stands(key, ticket)];
        compares.extend(blockers.iter().map(stand));
        Ok(self.client.txn(Txn::new().when(compares)).await?.succeeded())
    }

    /// Reads that the entry stands, what blocks it, and how many stand in the line.
    pub(crate) async fn turn(&self, keys: &RosterKeys, key: &[u8], ticket: &Ticket) -> Result<(Turn, u64)> {
        let look = keys.conflicting(ticket.mode).map(|range| {
            let earlier = nearest_first(&range).with_max_create_revision(revision(ticket) - 1);
            TxnOp::get(range.start, Some(earlier.with_limit(i64::from(ticket.limit.get()) + 1)))
        });
        let txn = Txn::new().when([stands(key, ticket)]).and_then(look.into_iter().collect::<Vec<_>>());
        let answer = self.client.txn(txn.or_else([self.look_at_session()])).await?;
        if !answer.succeeded() {
            self.session_lives(gets(&answer))?;
            return Err(not_held());
        }
        let Some(mut before) = ranges(&answer).next() else { return Ok((Turn::Admitted, 0)) };
        let line = before.count().unsigned_abs();
        Ok((Turn::new(before.take_kvs(), ticket.limit), line))
    }
}

fn ranges_to_watch(keys: &RosterKeys, mode: Mode, own: &[u8], blockers: &[Blocker]) -> Vec<KeyRange> {
    let own = KeyRange::key(own);
    match keys.conflicting(mode).filter(|_| blockers.len() > WATCHED_ONE_BY_ONE) {
        Some(all) => vec![all, own],
        None => blockers.iter().map(|blocker| KeyRange::key(&*blocker.key)).chain([own]).collect(),
    }
}
