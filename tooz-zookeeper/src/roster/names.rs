//! Watching for names that come into use.
//!
//! - Watches on the parents of all rosters and topics report new znodes. The children of a parent are compared with those
//!   that are known, and only the new ones are read.
//! - A roster's znode outlives its entries, so the children of each roster are watched, too. A group may be declared after
//!   its znode was created, so its data are watched as well.
//! - A topic keeps at least one message, so it is watched until it has the first one.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use futures_util::future::try_join_all;
use tokio::sync::Notify;
use tooz_core::driver::{Kind, NewName};

use super::rosters::Rosters;
use crate::client::{Client, Watch, any_fired};
use crate::error::Answer;
use crate::layout::{TOPIC, UNDECLARED, child, name_of, parent as parent_of};

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
        names.refresh(self).await?;
        added(NewName::Any);
        loop {
            any_fired(&names.wakeup, || names.have_fired()).await;
            names.refresh(self).await?.into_iter().for_each(added);
        }
    }
}

impl Names {
    /// Watches anew whatever has fired or is new. Returns the names in use among that.
    async fn refresh(&mut self, rosters: &Rosters) -> Answer<Vec<NewName>> {
        rosters.client.check()?;
        let mut used = Vec::new();
        for kind in Kind::ALL {
            used.extend(self.refresh_under(&rosters.client, &rosters.layout.kind(kind), kind.as_str()).await?);
        }
        used.extend(self.refresh_under(&rosters.client, &rosters.layout.topics(), TOPIC).await?);
        Ok(used)
    }

    async fn refresh_under(&mut self, client: &Client, parent: &str, kind: &str) -> Answer<Vec<NewName>> {
        if self.parents.get(parent).is_none_or(|(_, watch)| watch.has_fired()) {
            let listed = self.list(client, parent).await?;
            self.parents.insert(parent.to_owned(), listed);
        }
        let names = self.parents.get(parent).into_iter().flat_map(|(names, _)| names);
        let paths: HashMap<_, _> = names.map(|name| (child(parent, name), name)).collect();
        let is_known = |path: &str| paths.contains_key(path) || parent_of(path) != parent;
        self.znodes.retain(|path, watches| is_known(path) && !watches.iter().any(Watch::has_fired));
        let missing: Vec<_> = paths.iter().filter(|(path, _)| !self.znodes.contains_key(*path)).collect();
        let mut used = Vec::new();
        for some in missing.chunks(BATCH) {
            let watching = some.iter().map(|(path, _)| watch(client, path, kind, &self.wakeup));
            for ((path, name), (watches, is_used)) in some.iter().zip(try_join_all(watching).await?) {
                // One that is gone has no watch. If it is listed again, it is another one.
                if is_used || !watches.is_empty() {
                    self.znodes.insert((*path).clone(), watches);
                }
                used.extend(name_of(parent, name).filter(|_| is_used).map(|name| NewName::new(kind, name)));
            }
        }
        Ok(used)
    }

    /// Lists the names under a parent, or waits for the parent.
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

/// Watches a roster or a topic, and says whether it is in use. A znode that is gone has no watch; the one on its parent fires.
async fn watch(client: &Client, path: &str, kind: &str, wakeup: &Arc<Notify>) -> Answer<(Vec<Watch>, bool)> {
    let (mut watches, mut is_used) = (Vec::new(), false);
    if kind == Kind::Group.as_str() {
        let (stat, watch) = client.exists_watched(path, wakeup).await?;
        is_used = stat.is_some_and(|stat| stat.version != UNDECLARED);
        watches.push(watch);
    }
    if kind == TOPIC && client.exists(path).await?.is_some_and(|stat| stat.children > 0) {
        return Ok((watches, true));
    }
    if let Some((children, watch)) = client.children_watched(path, wakeup).await? {
        is_used |= !children.is_empty();
        watches.push(watch);
    }
    Ok((watches, is_used))
}
