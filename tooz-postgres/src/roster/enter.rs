//! Entering a roster.
//!
//! The function `enter` locks the roster, finds the entry of an earlier request by its nonce, checks the declaration and the
//! unique key, looks for what blocks the entry, draws a seq and adds the entry.

use tooz_core::Result;
use tooz_core::driver::support::{group_not_created, lock, member_already_exists, withdrawn};
use tooz_core::driver::{IfBlocked, IfTaken, NewEntry, Roster, Seq, Standing};

use crate::client::{Param, Reply};
use crate::layout::nonce_bytes;
use crate::session::PostgresSession;

const ENTER: &str = "SELECT * FROM enter($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

impl PostgresSession {
    pub(crate) async fn enter_roster(&self, roster: &Roster, entry: NewEntry<'_>) -> Result<Standing> {
        if lock(&self.tombstones).contains(entry.nonce) {
            return Err(withdrawn());
        }
        let entries = &self.core.inbox.entries;
        entries.entering(entry.nonce);
        let standing = self.try_enter(roster, &entry).await;
        match &standing {
            Ok(Standing::Admitted(ticket) | Standing::Waiting { ticket, .. }) => {
                self.history.saw(ticket.seq.0);
                entries.entered(entry.nonce);
            }
            // The entry may be there. Core repeats or withdraws it.
            Err(error) if error.is_retryable() => {}
            Ok(_) | Err(_) => drop(entries.removed(entry.nonce)),
        }
        standing
    }

    async fn try_enter(&self, roster: &Roster, entry: &NewEntry<'_>) -> Result<Standing> {
        let (key, takes_over) = match entry.unique_key() {
            None => (None, false),
            Some((key, if_taken)) => (Some(key), if_taken == IfTaken::TakeOver),
        };
        let params: [Param<'_>; 8] = [
            &nonce_bytes(entry.nonce),
            &key,
            &takes_over,
            &entry.mode.as_str(),
            &i64::from(entry.limit.get()),
            &(entry.if_blocked != IfBlocked::Withdraw),
            &entry.needs_declared,
            &entry.value,
        ];
        standing(&self.core.call_on(ENTER, roster, &params).await?, entry)
    }
}

fn standing(reply: &Reply, entry: &NewEntry<'_>) -> Result<Standing> {
    let seq = |column| Ok(reply.number(0, column)?.map(Seq));
    match (reply.status(), seq("place")?, seq("blocked_by")?) {
        ("ENTERED", Some(seq), blocked_by) => Ok(entry.ticket(seq).standing(blocked_by)),
        ("WITHDRAWN", _, Some(blocked_by)) => Ok(Standing::Withdrawn { blocked_by }),
        ("UNDECLARED", ..) => Err(group_not_created()),
        ("TAKEN", ..) => Err(member_already_exists()),
        _ => Err(reply.unexpected()),
    }
}
