//! The verbs of a roster. Each is one transaction; the admission rule mirrors `tooz_core::driver::admission`.

use rusqlite::params;
use tooz_core::driver::{IfBlocked, IfTaken, Kind, Mode, NewEntry, Nonce, Roster, Seq, Standing, Ticket};
use tooz_core::{Error, ErrorKind, Name};

use crate::core::{Core, Place};
use crate::error::{Outcome, not_held};
use crate::line::{Line, Stored};
use crate::work::Work;

/// How many of those who block an entry are asked whether they live. Their neighbours in the ring of peers ask too.
const PROBED: usize = 16;

/// A [`NewEntry`] that owns what it says, so that it can wait in a queue.
#[derive(Clone, Debug)]
pub(crate) struct Newcomer {
    nonce: Nonce,
    key: Option<(Vec<u8>, IfTaken)>,
    mode: Mode,
    permits: u32,
    if_blocked: IfBlocked,
    needs_declared: bool,
    value: Vec<u8>,
}

impl From<NewEntry<'_>> for Newcomer {
    fn from(entry: NewEntry<'_>) -> Self {
        let key = entry.unique_key().map(|(key, if_taken)| (key.to_vec(), if_taken));
        let NewEntry { nonce, mode, if_blocked, needs_declared, .. } = entry;
        let (permits, value) = (entry.limit.get(), entry.value.to_vec());
        Self { nonce, key, mode, permits, if_blocked, needs_declared, value }
    }
}

/// Whose verb it is: a session of this process, and the namespace that it works in.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) session: i64,
    pub(crate) namespace: std::sync::Arc<str>,
}

pub(crate) fn enter(core: &mut Core, caller: &Caller, roster: &Roster, new: &Newcomer) -> Outcome<Standing> {
    let held = core.sessions.get(&caller.session);
    if held.is_some_and(|held| held.is_barred(new.nonce)) {
        return Err(Error::new(ErrorKind::NotHeld, "the entry was withdrawn before it could enter").into());
    }
    let before = held.and_then(|held| held.place_of(new.nonce)).map(|place| place.seq);
    let (standing, place) = core.write_checking(|work| try_enter(work, caller, roster, new, before))?;
    if let (Some(place), Some(held)) = (place, core.sessions.get_mut(&caller.session)) {
        held.note(new.nonce, Some(place));
    }
    Ok(standing)
}

/// Enters, or finds the entry that stood at `before`. Says where, if it has entered.
fn try_enter(
    work: &mut Work<'_>,
    caller: &Caller,
    roster: &Roster,
    new: &Newcomer,
    before: Option<i64>,
) -> Outcome<(Standing, Option<Place>)> {
    let (line, blocked_by) = match approach(work, caller, roster, new, before)? {
        Approach::Stands(standing) => return Ok((standing, None)),
        Approach::Free(line, blocked_by) => (line, blocked_by),
    };
    if let (Some(blocked_by), IfBlocked::Withdraw) = (blocked_by, new.if_blocked) {
        return Ok((Standing::Withdrawn { blocked_by }, None));
    }
    let line = line.map_or_else(|| Line::make(work.db, &caller.namespace, roster), Ok)?;
    let seq = work.next()?;
    line.allow(work.db, new.permits)?;
    let entry = insert(work, &line, caller, new, seq, blocked_by.is_none())?;
    line.changed(work)?;
    let ticket = entry.ticket();
    let standing = match blocked_by {
        None => Standing::Admitted(ticket),
        Some(blocked_by) => Standing::Waiting { ticket, blocked_by },
    };
    Ok((standing, Some(Place { roster: roster.clone(), id: line.id, seq, alone: !line.occupied })))
}

/// What an entry meets before it enters.
enum Approach {
    /// It stands already.
    Stands(Standing),
    /// It may enter the line, which has a row or not, and would be blocked by this one or not.
    Free(Option<Line>, Option<Seq>),
}

/// Clears the way of what is dead or to be taken over, and says what is left in it.
fn approach(
    work: &mut Work<'_>,
    caller: &Caller,
    roster: &Roster,
    new: &Newcomer,
    before: Option<i64>,
) -> Outcome<Approach> {
    loop {
        let line = Line::find_alive(work, &caller.namespace, roster)?;
        if new.needs_declared && !line.is_some_and(|line| line.declared) {
            let absent = Error::new(ErrorKind::GroupNotCreated, "the group does not exist; create it first");
            // An entry that stands implies that the roster is declared, since it cannot be retracted then.
            return Err(absent.into());
        }
        let Some(line) = line else { return Ok(Approach::Free(None, None)) };
        if let Some(before) = before
            && let Some(entry) = our_entry(work, &line, caller, new.nonce, before)?
        {
            return Ok(Approach::Stands(line.standing(work.db, &entry)?));
        }
        if let Some((key, if_taken)) = &new.key
            && let Some(owner) = line.entry_of_key(work.db, key)?
        {
            make_room(work, &line, &owner, *if_taken)?;
            continue;
        }
        if !line.occupied {
            return Ok(Approach::Free(Some(line), None));
        }
        let blockers = line.blockers(work.db, new.mode, i64::MAX, new.permits)?;
        if blockers.len() < new.permits as usize {
            return Ok(Approach::Free(Some(line), None));
        }
        if !bury_dead_owners(work, &line, &blockers)? {
            return Ok(Approach::Free(Some(line), blockers.first().map(|seq| Seq(*seq as u64))));
        }
    }
}

/// Removes the owner of a key that a newcomer wants, if it is dead or may be displaced.
fn make_room(work: &mut Work<'_>, line: &Line, owner: &Stored, if_taken: IfTaken) -> Outcome<()> {
    if if_taken == IfTaken::TakeOver {
        line.evict(work, owner.seq)?;
        return Ok(());
    }
    let peer = work.peer_of(owner.session)?;
    if work.bury_dead(peer)? {
        return Ok(());
    }
    Err(Error::new(ErrorKind::MemberAlreadyExists, "another live session has joined with this member id").into())
}

fn bury_dead_owners(work: &mut Work<'_>, line: &Line, entries: &[i64]) -> Outcome<bool> {
    let mut peers = Vec::new();
    for seq in entries.iter().take(PROBED) {
        let Some(entry) = line.entry(work.db, *seq)? else { continue };
        peers.extend(work.peer_of(entry.session)?.filter(|peer| !peers.contains(peer)));
    }
    work.bury_dead(peers)
}

fn insert(
    work: &mut Work<'_>,
    line: &Line,
    caller: &Caller,
    new: &Newcomer,
    seq: i64,
    admitted: bool,
) -> Outcome<Stored> {
    let mut insert = work.db.prepare_cached(
        "INSERT INTO entries (seq, roster, session, nonce, key, mode, permits, admitted, value)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    insert.execute(params![
        seq,
        line.id,
        caller.session,
        new.nonce.0.to_be_bytes(),
        new.key.as_ref().map(|(key, _)| key),
        new.mode.as_str(),
        new.permits,
        admitted,
        new.value
    ])?;
    let Newcomer { nonce, mode, permits, .. } = *new;
    Ok(Stored { seq, session: caller.session, nonce, mode, permits, admitted })
}

pub(crate) fn leave(core: &mut Core, caller: &Caller, roster: &Roster, ticket: &Ticket) -> Outcome<bool> {
    let place = place_of(core, caller, roster, ticket.nonce);
    let left = core.commit(|work| {
        if let Some((id, true)) = place
            && remove_alone(work, id, ticket)?
        {
            return Ok(true);
        }
        let Some((line, entry)) = find_ours(work, caller, place.map(|(id, _)| id), ticket)? else {
            return Ok(false);
        };
        line.remove_found(work, &entry)?;
        Ok(true)
    })?;
    if left {
        forget(core, caller, ticket.nonce);
    }
    Ok(left)
}

/// The id of the roster where an entry of this process stands, and whether it stood there alone when it entered.
fn place_of(core: &Core, caller: &Caller, roster: &Roster, nonce: Nonce) -> Option<(i64, bool)> {
    let place = core.sessions.get(&caller.session)?.place_of(nonce)?;
    (place.roster == *roster).then_some((place.id, place.alone))
}

/// Removes the entry of a ticket from the roster with this id if that concerns nobody else: no other entry stands, so it
/// is admitted itself, and nobody watches. Most locks are given up like that; it is one statement instead of two.
fn remove_alone(work: &mut Work<'_>, id: i64, ticket: &Ticket) -> Outcome<bool> {
    let mut delete = work.db.prepare_cached(
        "DELETE FROM entries WHERE roster = ?1 AND mode = ?2 AND seq = ?3 AND nonce = ?4
         AND NOT EXISTS (SELECT 1 FROM entries WHERE roster = ?1 AND (mode, seq) <> (?2, ?3))
         AND NOT EXISTS (SELECT 1 FROM watchers WHERE roster = ?1)",
    )?;
    let (mode, seq, nonce) = (ticket.mode.as_str(), ticket.seq.0 as i64, ticket.nonce.0.to_be_bytes());
    let removed = delete.execute(params![id, mode, seq, nonce])? == 1;
    if removed {
        work.idle.push(id);
    }
    Ok(removed)
}

/// Jobs are done in their order, so an `enter` that was sent before has been carried out by now; a later one is barred.
pub(crate) fn withdraw(core: &mut Core, caller: &Caller, roster: &Roster, nonce: Nonce) -> Outcome<()> {
    let Some(held) = core.sessions.get_mut(&caller.session) else { return Ok(()) };
    held.bar(nonce);
    let Some(&Place { seq, .. }) = held.place_of(nonce) else { return Ok(()) };
    core.write(|work| {
        if let Some(line) = Line::find(work.db, &caller.namespace, roster)?
            && let Some(entry) = our_entry(work, &line, caller, nonce, seq)?
        {
            line.remove(work, &entry)?;
        }
        Ok(())
    })?;
    forget(core, caller, nonce);
    Ok(())
}

/// The entry is known not to stand any more.
fn forget(core: &mut Core, caller: &Caller, nonce: Nonce) {
    core.sessions.get_mut(&caller.session).into_iter().for_each(|held| held.note(nonce, None));
}

pub(crate) fn replace(core: &mut Core, caller: &Caller, roster: &Roster, ticket: &Ticket, value: &[u8]) -> Outcome<()> {
    let id = place_of(core, caller, roster, ticket.nonce).map(|(id, _)| id);
    core.commit(|work| {
        let Some((line, entry)) = find_ours(work, caller, id, ticket)? else { return Err(not_held().into()) };
        let mut update =
            work.db.prepare_cached("UPDATE entries SET value = ?4 WHERE roster = ?1 AND mode = ?2 AND seq = ?3")?;
        update.execute(params![line.id, entry.mode.as_str(), entry.seq, value])?;
        line.changed(work)
    })
}

pub(crate) fn evict(core: &mut Core, caller: &Caller, roster: &Roster, seq: Seq) -> Outcome<bool> {
    core.write(|work| match Line::find(work.db, &caller.namespace, roster)? {
        Some(line) => line.evict(work, seq.0 as i64),
        None => Ok(false),
    })
}

pub(crate) fn declare(core: &mut Core, caller: &Caller, roster: &Roster) -> Outcome<bool> {
    core.write_durably(|work| {
        let line = match Line::find(work.db, &caller.namespace, roster)? {
            Some(line) if line.declared => return Ok(false),
            Some(line) => line,
            None => Line::make(work.db, &caller.namespace, roster)?,
        };
        line.declare(work, true)?;
        Ok(true)
    })
}

pub(crate) fn retract(core: &mut Core, caller: &Caller, roster: &Roster) -> Outcome<()> {
    core.write_durably(|work| {
        loop {
            let line = Line::find(work.db, &caller.namespace, roster)?.filter(|line| line.declared);
            let Some(line) = line else {
                return Err(Error::new(ErrorKind::GroupNotCreated, "the group does not exist").into());
            };
            if line.is_empty(work.db)? {
                return line.declare(work, false);
            }
            let peers = peers_in(work, &line)?;
            if !work.bury_dead(peers)? {
                let refusal = "the group still has members; they must leave first";
                return Err(Error::new(ErrorKind::GroupNotEmpty, refusal).into());
            }
        }
    })
}

pub(crate) fn declared(core: &mut Core, caller: &Caller, kind: Kind) -> Outcome<Vec<Name>> {
    let mut select = core
        .db
        .prepare_cached("SELECT name FROM rosters WHERE namespace = ?1 AND kind = ?2 AND declared = 1 ORDER BY name")?;
    let names = select.query_map(params![caller.namespace, kind.as_str()], |row| row.get::<_, Vec<u8>>(0))?;
    names.map(|name| Ok(Name::new(name?)?)).collect()
}

/// The entry of a ticket, if it stands in the roster with this id and is the caller's. Fails if others hold this process
/// for dead.
fn find_ours(work: &Work<'_>, caller: &Caller, id: Option<i64>, ticket: &Ticket) -> Outcome<Option<(Line, Stored)>> {
    let found = id.map(|id| Line::find_with(work.db, id, ticket)).transpose()?.flatten();
    let ours = found.filter(|(_, entry)| entry.session == caller.session);
    if ours.is_none() {
        work.check_alive()?;
    }
    Ok(ours)
}

/// The entry at `seq`, if it has this nonce and is the caller's.
fn our_entry(work: &Work<'_>, line: &Line, caller: &Caller, nonce: Nonce, seq: i64) -> Outcome<Option<Stored>> {
    Ok(line.entry(work.db, seq)?.filter(|entry| entry.nonce == nonce && entry.session == caller.session))
}

fn peers_in(work: &Work<'_>, line: &Line) -> Outcome<Vec<i64>> {
    let mut select = work.db.prepare_cached(
        "SELECT DISTINCT peer FROM entries JOIN sessions ON sessions.id = entries.session WHERE entries.roster = ?1",
    )?;
    Ok(select.query_map([line.id], |row| row.get(0))?.collect::<Result<_, _>>()?)
}
