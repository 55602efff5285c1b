//! Rosters that exist without entries, groups that were created, and the list of rosters with entries.
//!
//! The data of a roster's znode are rewritten once, which takes its data version from 0 to 1. Exactly one client does it.

use futures_util::future::join_all;
use futures_util::join;
use tooz_core::Name;
use tooz_core::driver::support::{group_not_created, group_not_empty};
use tooz_core::driver::{Kind, Roster};

use super::rosters::Rosters;
use crate::client::Stat;
use crate::error::{Answer, Fault};
use crate::layout::{UNDECLARED, child, name_of, sorted_behind};

/// How many znodes a listing looks at together.
const BATCH: usize = 32;

impl Rosters {
    pub(crate) async fn declare(&self, roster: &Roster) -> Answer<bool> {
        let path = self.layout.roster(roster);
        loop {
            match self.client.set_data(&path, b"declared", Some(UNDECLARED)).await {
                Err(Fault::NoNode) => self.client.create_all(&path).await?,
                Err(Fault::BadVersion) => return Ok(false),
                outcome => return outcome.map(|_| true),
            }
        }
    }

    pub(crate) async fn retract(&self, roster: &Roster) -> Answer<()> {
        let path = self.layout.roster(roster);
        let (synced, stat) = join!(self.client.sync(), self.client.exists(&path));
        synced?;
        let declared = stat?.filter(|stat| stat.version != UNDECLARED).ok_or_else(group_not_created)?;
        match self.client.delete(&path, Some(declared.version)).await {
            Err(Fault::NoNode | Fault::BadVersion) => Err(group_not_created().into()),
            Err(Fault::NotEmpty) => Err(group_not_empty().into()),
            outcome => outcome,
        }
    }

    pub(crate) async fn declared(&self, kind: Kind) -> Answer<Vec<Name>> {
        let mut declared = self.names(kind, None, usize::MAX, |stat| stat.version != UNDECLARED).await?;
        declared.sort_unstable();
        Ok(declared)
    }

    /// At most `limit` rosters with entries, in the order of their znodes' names.
    pub(crate) async fn used(&self, kind: Kind, after: Option<&Name>, limit: usize) -> Answer<Vec<Name>> {
        self.names(kind, after, limit, |stat| stat.children > 0).await
    }

    /// ZooKeeper lists all children at once; the driver looks only at as many of them as it needs to fill the page.
    async fn names(
        &self,
        kind: Kind,
        after: Option<&Name>,
        limit: usize,
        is_wanted: impl Fn(&Stat) -> bool,
    ) -> Answer<Vec<Name>> {
        let parent = self.layout.kind(kind);
        let (synced, znodes) = join!(self.client.sync(), self.client.children(&parent));
        synced?;
        let mut found = Vec::new();
        for names in sorted_behind(znodes?, after).chunks(BATCH) {
            let paths: Vec<_> = names.iter().map(|name| child(&parent, name)).collect();
            let stats = join_all(paths.iter().map(|path| self.client.exists(path))).await;
            for (name, stat) in names.iter().zip(stats) {
                if stat?.as_ref().is_some_and(&is_wanted) && found.len() < limit {
                    found.extend(name_of(&parent, name));
                }
            }
            if found.len() == limit {
                break;
            }
        }
        Ok(found)
    }
}
