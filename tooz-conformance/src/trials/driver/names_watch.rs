//! Watching for names that come into use.

use std::collections::BTreeSet;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tooz_core::driver::{Kind, NewName, Roster};
use tooz_core::{Name, Result};

use super::enter::awkward_names;
use crate::trials::fixtures::{Client, roster, soon};
use crate::{Context, Failure, ensure, ensure_eq};

rule_trials! {
    R29:
    a_watch_of_names_misses_none,
    a_watch_of_names_reports_any_name,
    a_watch_of_names_reports_its_namespace_only;
}

/// A watch of the names in use, which ends when it is dropped.
struct Watch {
    names: mpsc::UnboundedReceiver<NewName>,
    task: AbortHandle,
    /// What has come into use.
    expected: BTreeSet<NewName>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    async fn begin(client: &Client) -> Result<Self, Failure> {
        let (session, (sender, names)) = (client.session(), mpsc::unbounded_channel());
        let add = move |name| drop(sender.send(name));
        let task = tokio::spawn(async move { session.watch_names(&add).await }).abort_handle();
        let mut watch = Self { names, task, expected: BTreeSet::new() };
        ensure_eq!(watch.next().await?, NewName::Any);
        Ok(watch)
    }

    async fn next(&mut self) -> Result<NewName, Failure> {
        let name = soon("the watch reports a name that has come into use", self.names.recv()).await;
        name.ok_or_else(|| Failure::new("the watch has ended"))
    }

    /// Waits until the name is reported, by itself or among any names, and is read after that.
    async fn reports<F: Future<Output = Result<bool>>>(
        &mut self,
        kind: &str,
        name: &Name,
        is_used: impl Fn() -> F,
    ) -> Result<(), Failure> {
        let expected = NewName::new(kind, name.clone());
        self.expected.insert(expected.clone());
        loop {
            match self.next().await? {
                NewName::Any if is_used().await? => return Ok(()),
                NewName::Any => {}
                name if name == expected => {
                    ensure!(is_used().await?, "{name:?} was reported before it was in use");
                    return Ok(());
                }
                name => ensure!(self.expected.contains(&name), "{name:?} was reported, which never was in use"),
            }
        }
    }

    /// Waits until a roster is reported that has an entry.
    async fn reports_entry(&mut self, client: &Client, roster: &Roster) -> Result<(), Failure> {
        self.reports(roster.kind.as_str(), &roster.name, async || Ok(!client.seqs(roster).await?.is_empty())).await
    }
}

async fn a_watch_of_names_misses_none(context: Context) -> Result<(), Failure> {
    let (a, b) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?);
    let mut watch = Watch::begin(&b).await?;
    for kind in Kind::ALL {
        for name in ["one", "two", "one"] {
            let roster = roster(kind, name);
            let ticket = a.hold(&roster).await?;
            watch.reports_entry(&b, &roster).await?;
            ensure!(a.leave(&roster, &ticket).await?);
        }
    }
    let declared = Name::new("declared")?;
    a.declare(&roster(Kind::Group, "declared")).await?;
    let is_declared = async || Ok(b.declared(Kind::Group).await? == [declared.clone()]);
    watch.reports("group", &declared, is_declared).await
}

async fn a_watch_of_names_reports_any_name(context: Context) -> Result<(), Failure> {
    let (a, b) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?);
    let mut watch = Watch::begin(&b).await?;
    for name in awkward_names() {
        let roster = Roster { kind: Kind::Lock, name: Name::new(name)? };
        a.hold(&roster).await?;
        watch.reports_entry(&b, &roster).await?;
        let (Some(publishing), Some(reading)) = (a.topics(), b.topics()) else { continue };
        publishing.publish(&roster.name, b"x", 1).await?;
        let has_message = async || Ok(reading.bounds(&roster.name).await?.newest > Default::default());
        watch.reports("topic", &roster.name, has_message).await?;
    }
    Ok(())
}

async fn a_watch_of_names_reports_its_namespace_only(context: Context) -> Result<(), Failure> {
    let (a, b) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?);
    let mut watch = Watch::begin(&b).await?;
    for namespace in [format!("{}2", context.namespace()), format!("{}/lock", context.namespace())] {
        let other = Client::open_in(&context, &namespace, "other").await?;
        other.hold(&roster(Kind::Lock, "other")).await?;
    }
    let own = roster(Kind::Lock, "own");
    a.hold(&own).await?;
    watch.reports_entry(&b, &own).await
}
