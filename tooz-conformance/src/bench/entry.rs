//! The entry of a benchmark program: reads the arguments, measures each part, and writes the outcome.

use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;

use futures_util::FutureExt;

use super::arguments::{Arguments, PARTS, SCALE};
use super::floor::Floor;
use super::outcome::Outcome;
use super::run::{Bench, OpenFloor};
use super::{group, hand_over, memory, pair, pin, report, scale, size, topic};
use crate::harness::RunningBackend;
use crate::scale::{COORDINATORS_ROLE, connect_coordinators};
use crate::{Failure, Harness, Target, children};

/// Compares a driver with its floor, prints a table, and writes the files that the arguments name.
pub fn main<L, F>(harness: Harness, open: impl Fn(Target) -> F + Send + Sync + 'static) -> ExitCode
where
    L: Floor,
    F: Future<Output = Result<L, Failure>> + Send + 'static,
{
    let open: OpenFloor =
        Arc::new(move |target| open(target).map(|floor| Ok(Arc::new(floor?) as Arc<dyn Floor>)).boxed());
    let passing = open.clone();
    let harness = harness
        .role(hand_over::CONTENDER, hand_over::play_contender)
        .role(hand_over::PASSER, move |child| hand_over::play_passer(child, passing.clone()))
        .role(group::LEADER, group::lead)
        .role(memory::MEASURER, memory::measure)
        .role(COORDINATORS_ROLE, connect_coordinators);
    if let Some(code) = children::play_role(&harness) {
        return code;
    }
    match measure(harness, open) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn measure(harness: Harness, open: OpenFloor) -> Result<(), Failure> {
    let arguments = Arguments::read()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let subject = Arc::new(harness.subject);
        // The servers inherit the cores of this process, so it is pinned before and after they start.
        let server = pin::to_server_cores(&subject);
        let backend = Arc::new(RunningBackend::start(&subject, false).await?);
        let pinned = server && pin::to_client_cores();
        let (provision, version) = backend.provision(&subject);
        println!("measuring {} {version}, provided by {provision}", subject.name);
        let bench = Bench::new(subject.clone(), backend.clone(), open, arguments.full);
        let (measured, rows) = match arguments.only.as_deref() {
            Some(SCALE) => (Ok(()), scale::rows(&bench).await),
            only => (measure_parts(&bench, only).await, Vec::new()),
        };
        let removed = backend.remove().await;
        measured.and(removed)?;
        let run = (arguments.full, pinned);
        let outcome = Outcome::new(&subject.name, (provision, version), run, bench.take_figures()).with_rows(rows);
        report::print(&outcome);
        report::write(&outcome, arguments.json.as_deref(), arguments.svg.as_deref())
    })
}

async fn measure_parts(bench: &Bench, only: Option<&str>) -> Result<(), Failure> {
    for part in PARTS.into_iter().filter(|part| only.is_none_or(|only| only == *part)) {
        let measured = match part {
            "pairs" => pair::figures(bench).boxed(),
            "hand-over" => hand_over::figures(bench).boxed(),
            "size" => size::figures(bench).boxed(),
            "memory" => memory::figures(bench).boxed(),
            "groups" => group::figures(bench).boxed(),
            _ => topic::figures(bench).boxed(),
        };
        measured.await.map_err(|failure| failure.context(part))?;
    }
    Ok(())
}
