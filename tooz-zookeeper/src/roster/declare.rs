//! Rosters that exist without entries: groups that were created.
//!
//! The data of a roster's znode are rewritten once, which takes its data version from 0 to 1. Exactly one client does it.

use futures_util::future::join_all;
use futures_util::join;
use tooz_core::driver::support::{group_not_created, group_not_empty};
use tooz_core::driver::{Kind, Roster};
use tooz_core::{Name, Result};
use tracing::warn;

use super::rosters::Rosters;
use crate::error::Fault;
use crate::layout::{UNDECLARED, child, unescape};

impl Rosters {
    pub(crate) async fn declare(&self, roster: &Roster) -> Result<bool> {
        let path = self.layout.roster(roster);
        loop {
            match self.client.set_data(&path, b"declared", Some(UNDECLARED)).await {
                Err(Fault::NoNode) => self.client.create_all(&path).await?,
                Err(Fault::BadVersion) => return Ok(false),
                outcome => return Ok(outcome.map(|_| true)?),
            }
        }
    }

    pub(crate) async fn retract(&self, roster: &Roster) -> Result<()> {
        let path = self.layout.roster(roster);
        let (synced, stat) = join!(self.client.sync(), self.client.exists(&path));
        synced?;
        let declared = stat?.filter(|stat| stat.version != UNDECLARED).ok_or_else(group_not_created)?;
        match self.client.delete(&path, Some(declared.version)).await {
            Err(Fault::NoNode | Fault::BadVersion) => Err(group_not_created()),
            Err(Fault::NotEmpty) => Err(group_not_empty()),
            outcome => Ok(outcome?),
        }
    }

    pub(crate) async fn declared(&self, kind: Kind) -> Result<Vec<Name>> {
        let parent = self.layout.kind(kind);
        let (synced, names) = join!(self.client.sync(), self.client.children(&parent));
        synced?;
        let names = names?;
        let paths: Vec<_> = names.iter().map(|name| child(&parent, name)).collect();
        let stats = join_all(paths.iter().map(|path| self.client.exists(path))).await;
        let mut declared = Vec::new();
        for (name, stat) in names.iter().zip(stats) {
            if stat?.is_some_and(|stat| stat.version != UNDECLARED) {
                match Name::new(unescape(name)) {
                    Ok(name) => declared.push(name),
                    Err(_) => warn!(parent, name, "skipped a znode among the groups whose name is not valid"),
                }
            }
        }
        declared.sort_unstable();
        Ok(declared)
    }
}
