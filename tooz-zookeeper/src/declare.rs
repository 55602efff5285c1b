//! Rosters that exist of their own: groups that were created.

use futures_util::future::join_all;
use futures_util::join;
use tooz_core::driver::{Kind, Roster};
use tooz_core::{Error, ErrorKind, Name, Result};

use crate::client::Fault;
use crate::error::group_not_created;
use crate::layout::unescape;
use crate::roster::none_if_missing;
use crate::session::{Inner, create_all};
use crate::sweep::UNDECLARED;

impl Inner {
    pub(crate) async fn declare(&self, roster: &Roster) -> Result<bool> {
        let parent = self.layout.roster(roster);
        loop {
            // A znode's data is rewritten once, which takes it from version 0 to 1, by exactly one of us.
            match self.client.set_data(&parent, b"declared", Some(UNDECLARED)).await {
                Err(Fault::NoNode) => create_all(&self.client, &parent).await?,
                Err(Fault::BadVersion) => return Ok(false),
                outcome => return outcome.map(|_| true).map_err(Error::from),
            }
        }
    }

    pub(crate) async fn retract(&self, roster: &Roster) -> Result<()> {
        let parent = self.layout.roster(roster);
        self.client.touch().await?;
        let version = match self.client.exists(&parent).await? {
            Some(stat) if stat.version != UNDECLARED => stat.version,
            _ => return Err(group_not_created()),
        };
        match self.client.delete(&parent, Some(version)).await {
            Err(Fault::NoNode | Fault::BadVersion) => Err(group_not_created()),
            Err(Fault::NotEmpty) => {
                Err(Error::new(ErrorKind::GroupNotEmpty, "the group still has members; they must leave first"))
            }
            outcome => outcome.map_err(Error::from),
        }
    }

    pub(crate) async fn declared(&self, kind: Kind) -> Result<Vec<Name>> {
        let parent = self.layout.kind(kind);
        let (touched, children) = join!(self.client.touch(), self.client.children(&parent));
        touched?;
        let names = none_if_missing(children)?.unwrap_or_default();
        let paths: Vec<_> = names.iter().map(|name| format!("{parent}/{name}")).collect();
        let stats = join_all(paths.iter().map(|path| self.client.exists(path))).await;
        let mut declared = Vec::new();
        for (name, stat) in names.iter().zip(stats) {
            if stat?.is_some_and(|stat| stat.version != UNDECLARED) {
                // A znode that somebody else made need not be a name of ours.
                declared.extend(Name::new(unescape(name)));
            }
        }
        declared.sort_unstable();
        Ok(declared)
    }
}
