//! The verbs that change a roster: each is one script.

use std::time::Duration;

use tooz_core::driver::{IfBlocked, IfTaken, Kind, NewEntry, Nonce, Roster, Seq, Standing, Ticket};
use tooz_core::{Error, ErrorKind, Name, Result};

use crate::error::{not_held, session_lost};
use crate::layout::unescape;
use crate::script::{DECLARE, ENTER, EVICT, LEAVE, REPLACE, RETRACT, Reply, WITHDRAW};
use crate::session::RedisSession;

/// For how long a withdrawn nonce is barred: longer than a request may linger in the buffers of a dying connection.
const BAR: Duration = Duration::from_secs(300);

impl RedisSession {
    pub(crate) async fn enter_roster(&self, roster: &Roster, entry: NewEntry<'_>) -> Result<Standing> {
        self.check_open()?;
        self.feed.expect(entry.nonce);
        let standing = self.try_enter(roster, &entry).await;
        match &standing {
            Ok(Standing::Admitted(_) | Standing::Waiting { .. }) => self.feed.settle(entry.nonce),
            // It may stand none the less, and will be repeated or withdrawn.
            Err(error) if error.is_retryable() => {}
            Ok(_) | Err(_) => self.feed.forget(entry.nonce),
        }
        standing
    }

    async fn try_enter(&self, roster: &Roster, entry: &NewEntry<'_>) -> Result<Standing> {
        let (if_taken, key): (&str, Option<&[u8]>) = match entry.unique_key() {
            None => ("", None),
            Some((key, IfTaken::TakeOver)) => ("take-over", Some(key)),
            Some((key, _)) => ("refuse", Some(key)),
        };
        let if_blocked = match entry.if_blocked {
            IfBlocked::Withdraw => "withdraw",
            _ => "",
        };
        let nonce = entry.nonce.to_string();
        let length = key.map_or_else(|| "-".to_owned(), |key| key.len().to_string());
        let head = [entry.mode.as_str(), " ", &entry.limit.to_string(), " ", &self.id, " ", &length, " "].concat();
        let record = [head.as_bytes(), key.unwrap_or_default(), entry.value].concat();
        let must_be_declared = if entry.needs_declared { roster.kind.as_str() } else { "" };
        let args = [
            self.key.as_bytes(),
            nonce.as_bytes(),
            &record,
            if_blocked.as_bytes(),
            must_be_declared.as_bytes(),
            if_taken.as_bytes(),
        ];
        let given = args.iter().rposition(|arg| !arg.is_empty()).map_or(0, |last| last + 1);
        let reply = self.client.run_replicated(&ENTER, &self.layout.roster(roster), &args[..given]).await?;
        standing(reply, entry)
    }

    pub(crate) async fn leave_roster(&self, roster: &Roster, ticket: &Ticket) -> Result<bool> {
        self.check_open()?;
        // Before the request, so that our own leaving is never taken for a loss.
        self.feed.forget(ticket.nonce);
        let nonce = ticket.nonce.to_string();
        let (seq, limit) = (ticket.seq.0.to_string(), ticket.limit.to_string());
        let beginning = [&seq, " ", ticket.mode.as_str(), " ", &limit, " ", &self.id, " "].concat();
        let args = [self.key.as_bytes(), nonce.as_bytes(), beginning.as_bytes()];
        let left = done(&self.run(&LEAVE, &self.layout.roster(roster), &args).await?)?;
        self.feed.look(ticket.nonce);
        Ok(left)
    }

    pub(crate) async fn withdraw_from(&self, roster: &Roster, nonce: Nonce) -> Result<()> {
        self.check_open()?;
        self.feed.forget(nonce);
        let (text, bar) = (nonce.to_string(), BAR.as_millis().to_string());
        let args = [self.id.as_bytes(), text.as_bytes(), bar.as_bytes()];
        done(&self.run(&WITHDRAW, &self.layout.roster(roster), &args).await?)?;
        self.feed.look(nonce);
        Ok(())
    }

    pub(crate) async fn replace_in(&self, roster: &Roster, ticket: &Ticket, value: &[u8]) -> Result<()> {
        let (nonce, seq) = (ticket.nonce.to_string(), ticket.seq.to_string());
        let args = [self.id.as_bytes(), nonce.as_bytes(), seq.as_bytes(), value];
        match done(&self.run(&REPLACE, &self.layout.roster(roster), &args).await?)? {
            true => Ok(()),
            false => Err(not_held()),
        }
    }

    pub(crate) async fn evict_from(&self, roster: &Roster, seq: Seq) -> Result<bool> {
        done(&self.run(&EVICT, &self.layout.roster(roster), &[seq.to_string().as_bytes()]).await?)
    }

    pub(crate) async fn declare_roster(&self, roster: &Roster) -> Result<bool> {
        done(&self.run(&DECLARE, &self.layout.roster(roster), &[roster.kind.as_str().as_bytes()]).await?)
    }

    pub(crate) async fn retract_roster(&self, roster: &Roster) -> Result<()> {
        let reply = self.run(&RETRACT, &self.layout.roster(roster), &[roster.kind.as_str().as_bytes()]).await?;
        match reply.status() {
            "UNDECLARED" => Err(Error::new(ErrorKind::GroupNotCreated, "the group does not exist")),
            "CROWDED" => {
                Err(Error::new(ErrorKind::GroupNotEmpty, "the group still has members; they must leave first"))
            }
            _ => done(&reply).map(drop),
        }
    }

    pub(crate) async fn declared_rosters(&self, kind: Kind) -> Result<Vec<Name>> {
        self.check_open()?;
        let members = self.client.members(&self.layout.declared(kind)).await?;
        let mut names = members.iter().map(|name| unescape(name)).collect::<Result<Vec<_>>>()?;
        names.sort_unstable();
        Ok(names)
    }
}

fn standing(mut reply: Reply, entry: &NewEntry<'_>) -> Result<Standing> {
    let ticket = |seq: u64| Ticket { seq: Seq(seq), nonce: entry.nonce, mode: entry.mode, limit: entry.limit };
    match reply.status() {
        "ADMITTED" => reply.natural().map(|seq| Standing::Admitted(ticket(seq))),
        "WAITING" => Ok(Standing::Waiting { ticket: ticket(reply.natural()?), blocked_by: Seq(reply.natural()?) }),
        "WITHDRAWN" => Ok(Standing::Withdrawn { blocked_by: Seq(reply.natural()?) }),
        "LOST" => Err(session_lost()),
        "BARRED" => Err(Error::new(ErrorKind::NotHeld, "the entry was withdrawn before it could enter")),
        "UNDECLARED" => Err(Error::new(ErrorKind::GroupNotCreated, "the group does not exist; create it first")),
        "TAKEN" => {
            Err(Error::new(ErrorKind::MemberAlreadyExists, "another live session has joined with this member id"))
        }
        _ => Err(reply.unexpected()),
    }
}

fn done(reply: &Reply) -> Result<bool> {
    match reply.status() {
        "DONE" => Ok(true),
        "NONE" => Ok(false),
        _ => Err(reply.unexpected()),
    }
}
