//! Leaving a roster, withdrawing an entry of unknown outcome, and evicting the entry of another session.

use std::collections::HashSet;

use futures_util::future::join_all;
use tooz_core::driver::{Nonce, Roster, Seq, Ticket};

use super::queue::seq;
use super::rosters::Rosters;
use crate::error::Answer;
use crate::layout::child;

impl Rosters {
    pub(crate) async fn leave(&self, roster: &Roster, ticket: &Ticket) -> Answer<bool> {
        self.client.check()?;
        let parent = self.layout.roster(roster);
        self.cleanup.used(&parent);
        let Some(path) = self.find(&parent, ticket) else { return Ok(false) };
        self.own.set_leaving(ticket.nonce);
        let removed = self.client.delete_if_exists(&path).await?;
        self.own.forget(ticket.nonce);
        Ok(removed)
    }

    pub(crate) async fn withdraw(&self, roster: &Roster, nonce: Nonce) -> Answer<()> {
        self.client.check()?;
        let parent = self.layout.roster(roster);
        self.own.withdraw(nonce);
        self.own.set_leaving(nonce);
        let one_at_a_time = self.withdrawals.add(&parent, nonce);
        let _turn = one_at_a_time.lock().await;
        let nonces = self.withdrawals.pending(&parent);
        // An earlier withdrawal may have removed this entry too, with a listing that was sent after this call.
        if nonces.contains(&nonce) {
            self.remove_by_nonce(&parent, &nonces).await?;
            self.withdrawals.done(&parent, &nonces);
            for nonce in nonces {
                self.own.forget(nonce);
            }
        }
        Ok(())
    }

    /// Removes the session's own entries with these nonces.
    ///
    /// The server carries out requests in the order in which they were sent, so the listing shows an entry whose create was
    /// in flight. A create on an earlier connection is carried out by now, or never.
    pub(super) async fn remove_by_nonce(&self, roster: &str, nonces: &HashSet<Nonce>) -> Answer<()> {
        let queue = self.list(roster).await?;
        let listed = queue.entries().iter().filter(|listed| nonces.contains(&listed.entry.nonce));
        let removals = listed.map(|listed| async move {
            let path = child(roster, &listed.name);
            let is_own = self.client.exists(&path).await?.is_some_and(|stat| stat.owner == self.session);
            if is_own {
                self.client.delete_if_exists(&path).await?;
            }
            Ok(())
        });
        join_all(removals).await.into_iter().collect()
    }

    /// The seqs of a roster rise with the numbers in the names, so the entry is found by bisection.
    pub(crate) async fn evict(&self, roster: &Roster, wanted: Seq) -> Answer<bool> {
        let parent = self.layout.roster(roster);
        let queue = self.list_synced(&parent).await?;
        let mut candidates: Vec<_> = queue.entries().iter().map(|listed| child(&parent, &listed.name)).collect();
        while !candidates.is_empty() {
            let middle = candidates.len() / 2;
            match self.client.exists(&candidates[middle]).await?.map(|stat| seq(&stat)) {
                Some(found) if found == wanted => return self.client.delete_if_exists(&candidates[middle]).await,
                Some(found) if found < wanted => drop(candidates.drain(..=middle)),
                Some(_) => candidates.truncate(middle),
                // The entry has left since.
                None => drop(candidates.remove(middle)),
            }
        }
        Ok(false)
    }
}
