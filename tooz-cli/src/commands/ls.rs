//! `tooz ls`: the objects that are in use.

use clap::Args;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tooz::Coordinator;

use super::session::with_session;
use crate::backend::Backend;
use crate::exit::Result;
use crate::inspect::{Kind, Object, Summary, names};
use crate::output::{Printer, Table, age};

/// How many objects are read at a time.
const CONCURRENT: usize = 16;

/// Lists locks, semaphores and elections with their holders and waiters, groups with their members, and topics.
#[derive(Args, Debug)]
pub(crate) struct Ls {
    /// Lists only objects of these kinds.
    #[arg(value_enum)]
    kinds: Vec<Kind>,
}

impl Ls {
    pub(crate) async fn run(&self, backend: &Backend, printer: Printer) -> Result<u8> {
        with_session(backend, async |coordinator| {
            let summaries = self.read(coordinator).await?;
            printer.table(&summaries, || table(&summaries))?;
            Ok(0)
        })
        .await
    }

    async fn read(&self, coordinator: &Coordinator) -> Result<Vec<Summary>> {
        let kinds = if self.kinds.is_empty() { &Kind::ALL[..] } else { &self.kinds };
        let mut objects = Vec::new();
        for &kind in kinds {
            objects.extend(names(coordinator, kind).await?.into_iter().map(|name| Object { kind, name }));
        }
        let read = stream::iter(objects).map(|object| async move { object.summary(coordinator).await });
        Ok(read.buffered(CONCURRENT).try_collect().await?)
    }
}

fn table(summaries: &[Summary]) -> Table {
    let mut table = Table::new(&["KIND", "NAME", "HOLDERS", "WAITERS", "FIRST", "SINCE"]);
    for summary in summaries {
        let (first, since) = match (&summary.first, summary.newest) {
            (Some(first), _) => (first.member.clone(), age(first.since_ms)),
            (None, Some(newest)) => (format!("newest message {newest}"), String::new()),
            (None, None) => Default::default(),
        };
        let counts = [summary.holders, summary.waiters].map(|count| count.to_string());
        let [holders, waiters] = if summary.newest.is_some() { Default::default() } else { counts };
        table.push([summary.kind.to_string(), summary.name.clone(), holders, waiters, first, since]);
    }
    table
}
