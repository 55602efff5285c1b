//! Entering a roster.
//!
//! One script draws a seq, adds the entry to the sorted set of its mode, and counts the conflicting entries that precede it.
//! A repeated request finds its own entry by the nonce. A withdrawn nonce has a tombstone on the server, so a request that
//! arrives late adds nothing.

use tooz_core::Result;
use tooz_core::driver::support::{group_not_created, member_already_exists, session_lost, withdrawn};
use tooz_core::driver::{IfBlocked, IfTaken, NewEntry, Roster, Seq, Standing};

use crate::client::{ENTER, Reply};
use crate::layout::{ShardKey, record};
use crate::session::RedisSession;
use crate::shard_session::ShardSession;

impl RedisSession {
    pub(crate) async fn enter_roster(&self, roster: &Roster, entry: NewEntry<'_>) -> Result<Standing> {
        let key = self.layout().roster(roster);
        let own = self.shard(key.shard).await?;
        own.entries.entering(entry.nonce);
        let standing = self.try_enter(own, &key, &entry).await;
        match &standing {
            Ok(Standing::Admitted(ticket) | Standing::Waiting { ticket, .. }) => {
                own.history.saw(ticket.seq.0);
                own.entries.entered(entry.nonce);
            }
            // The entry may be there. Core repeats or withdraws it.
            Err(error) if error.is_retryable() => {}
            Ok(_) | Err(_) => self.left(own, entry.nonce),
        }
        standing
    }

    async fn try_enter(&self, own: &ShardSession, key: &ShardKey, entry: &NewEntry<'_>) -> Result<Standing> {
        let (if_taken, unique_key): (&str, &[u8]) = match entry.unique_key() {
            None => ("", b""),
            Some((key, IfTaken::TakeOver)) => ("take-over", key),
            Some((key, _)) => ("refuse", key),
        };
        let if_blocked = if entry.if_blocked == IfBlocked::Withdraw { "withdraw" } else { "" };
        let must_be_declared = if entry.needs_declared { "declared" } else { "" };
        let (nonce, limit) = (entry.nonce.to_string(), entry.limit.to_string());
        let args = [
            own.key.as_bytes(),
            nonce.as_bytes(),
            entry.mode.as_str().as_bytes(),
            limit.as_bytes(),
            &record(entry, &own.id),
            if_blocked.as_bytes(),
            must_be_declared.as_bytes(),
            if_taken.as_bytes(),
            unique_key,
        ];
        let given = args.iter().rposition(|arg| !arg.is_empty()).map_or(0, |last| last + 1);
        let reply = self.client.connections.run_replicated(&ENTER, &key.name, &args[..given]).await?;
        standing(reply, entry)
    }
}

fn standing(mut reply: Reply, entry: &NewEntry<'_>) -> Result<Standing> {
    match reply.status() {
        "ADMITTED" => Ok(Standing::Admitted(entry.ticket(Seq(reply.natural()?)))),
        "WAITING" => {
            let ticket = entry.ticket(Seq(reply.natural()?));
            Ok(Standing::Waiting { ticket, blocked_by: Seq(reply.natural()?) })
        }
        "WITHDRAWN" => Ok(Standing::Withdrawn { blocked_by: Seq(reply.natural()?) }),
        "LOST" => Err(session_lost()),
        "TOMBSTONE" => Err(withdrawn()),
        "UNDECLARED" => Err(group_not_created()),
        "TAKEN" => Err(member_already_exists()),
        _ => Err(reply.unexpected()),
    }
}
