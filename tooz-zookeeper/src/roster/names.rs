//! Watching for names that come into use. ZooKeeper does not say which name it is, so the caller lists them.
//!
//! - Watches on the parents of all rosters and topics report new znodes.
//! - A roster's znode outlives its entries, so the children of each roster are watched, too. A group may be declared after
//!   its znode was created, so its data are watched as well.
//! - A topic keeps at least one message, so it is watched until it has the first one.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;

use futures_util::future::try_join_all;
use tokio::sync::Notify;
use tooz_core::driver::{Kind, NewName};

use super::rosters::Rosters;
use crate::client::{Client, Watch, any_fired};
use crate::error::Answer;
use crate::layout::{child, parent as parent_of};

/// How many znodes are read together.
const BATCH: usize = 32;

/// The watches of one namespace.
#[derive(Debug, Default)]
struct Names {
    wakeup: Arc<Notify>,
    /// The names under each parent, as they were listed.
    parents: HashMap<String, (Vec<String>, Watch)>,
    /// By the paths of rosters and topics.
    znodes: HashMap<String, Vec<Watch>>,
}

impl Rosters {
    pub(crate) async fn watch_names(&self, added: &(dyn Fn(NewName) + Send + Sync)) -> Answer<Infallible> {
        let mut names = Names::default();
        loop {
            self.client.check()?;
            for kind in Kind::ALL {
                names.refresh(&self.client, &self.layout.kind(kind), Some(kind)).await?;
            }
            names.refresh(&self.client, &self.layout.topics(), None).await?;
            added(NewName::Any);
            any_fired(&names.wakeup, || names.have_fired()).await;
        }
    }
}

impl Names {
    /// Watches anew whatever has fired or is new under a parent.
    async fn refresh(&mut self, client: &Client, parent: &str, kind: Option<Kind>) -> Answer<()> {
        if self.parents.get(parent).is_none_or(|(_, watch)| watch.has_fired()) {
            let listed = self.list(client, parent).await?;
            self.parents.insert(parent.to_owned(), listed);
        }
        let names = self.parents.get(parent).into_iter().flat_map(|(names, _)| names);
        let paths: HashSet<_> = names.map(|name| child(parent, name)).collect();
        let is_known = |path: &str| paths.contains(path) || parent_of(path) != parent;
        self.znodes.retain(|path, watches| is_known(path) && !watches.iter().any(Watch::has_fired));
        let missing: Vec<_> = paths.iter().filter(|path| !self.znodes.contains_key(*path)).collect();
        for paths in missing.chunks(BATCH) {
            let watching = paths.iter().map(|path| watch(client, path, kind, &self.wakeup));
            for (path, watches) in paths.iter().zip(try_join_all(watching).await?) {
                // A znode that is gone is watched when it is listed again.
                self.znodes.extend(watches.map(|watches| ((*path).clone(), watches)));
            }
        }
        Ok(())
    }

    /// Lists the names under a parent. Watches its children or, if there is no parent yet, for its creation.
    async fn list(&self, client: &Client, parent: &str) -> Answer<(Vec<String>, Watch)> {
        loop {
            if let Some(listed) = client.children_watched(parent, &self.wakeup).await? {
                return Ok(listed);
            }
            let (stat, watch) = client.exists_watched(parent, &self.wakeup).await?;
            // Created in between, it has children that this watch does not report.
            if stat.is_none() {
                return Ok((Vec::new(), watch));
            }
        }
    }

    fn have_fired(&self) -> bool {
        self.parents.values().map(|(_, watch)| watch).chain(self.znodes.values().flatten()).any(Watch::has_fired)
    }
}

/// Watches a roster, or a topic if there is no kind. `None` if the znode is gone; then the watch on its parent fires.
async fn watch(client: &Client, path: &str, kind: Option<Kind>, wakeup: &Arc<Notify>) -> Answer<Option<Vec<Watch>>> {
    let mut watches = Vec::new();
    if kind == Some(Kind::Group) {
        watches.push(client.exists_watched(path, wakeup).await?.1);
    }
    if kind.is_none() && client.exists(path).await?.is_some_and(|stat| stat.children > 0) {
        return Ok(Some(watches));
    }
    let children = client.children_watched(path, wakeup).await?;
    Ok(children.map(|(_, watch)| {
        watches.push(watch);
        watches
    }))
}
