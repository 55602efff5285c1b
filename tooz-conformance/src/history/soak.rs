//! Long runs: one after another, each from a seed of its own, on a backend that is harmed, until the time is over.

use std::collections::BTreeMap;
use std::env;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;

use super::fault::FaultKind;
use super::part::Workload;
use super::trials::play;
use super::verdict::Verdict;
use crate::backend::Target;
use crate::{Context, Failure, Harness};

/// Set in the environment by `cargo xtask soak`: what to do, instead of trials.
const VARIABLE: &str = "TOOZ_SOAK";

/// How long the clients of one run are at work.
const LENGTH: Duration = Duration::from_secs(20);

#[derive(Debug, Deserialize)]
struct Orders {
    minutes: f64,
    seed: u64,
    json: bool,
}

/// What was done so far.
#[derive(Debug, Default)]
struct Sum {
    runs: BTreeMap<Workload, (u64, usize, usize)>,
    faults: BTreeMap<FaultKind, usize>,
    /// Runs that say nothing, since something other than the driver failed.
    void: u64,
}

/// Soaks the backend if that is what this process is told to do.
pub(crate) fn soak(harness: &Arc<Harness>) -> Option<ExitCode> {
    let orders = env::var(VARIABLE).ok()?;
    let outcome = serde_json::from_str(&orders).map_err(Failure::from).and_then(|orders: Orders| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let sum = runtime.block_on(soak_all(harness.clone(), &orders));
        runtime.shutdown_background();
        sum.map(|sum| sum.tell(orders.json))
    });
    Some(outcome.unwrap_or_else(|failure| {
        eprintln!("error: {failure}");
        ExitCode::FAILURE
    }))
}

async fn soak_all(harness: Arc<Harness>, orders: &Orders) -> Result<Sum, Failure> {
    let target = Arc::new(Target::start(&harness, true).await?);
    let harms_servers = target.deployment.is_some();
    let (means, version) = target.means(&harness);
    eprintln!(
        "{} {version} is soaked by {means} for {} minutes, from seed {}",
        harness.name, orders.minutes, orders.seed
    );
    let end = Instant::now() + Duration::from_secs_f64(orders.minutes * 60.0);
    let mut sum = Sum::default();
    for seed in orders.seed.. {
        // From the seed alone, so that it repeats the run whichever came before.
        let workload = Workload::ALL[(seed % Workload::ALL.len() as u64) as usize];
        if Instant::now() >= end {
            break;
        }
        let context = Context::new(harness.clone(), target.clone());
        if workload == Workload::Topic && !context.info()?.topics {
            continue;
        }
        // Half of the runs leave the servers alone, so that clients and networks get their share.
        let harms_servers = harms_servers && (seed / Workload::ALL.len() as u64).is_multiple_of(2);
        match play(&context, workload, seed, LENGTH, harms_servers).await {
            Ok(verdict) => sum.add(verdict),
            Err(failure) => {
                sum.void += 1;
                eprintln!("seed {seed}, workload {}: the run failed: {failure}", workload.as_str());
            }
        }
        eprintln!("{}", sum.progress(seed, workload, end));
    }
    target.remove().await?;
    Ok(sum)
}

impl Sum {
    fn add(&mut self, verdict: Verdict) {
        let (runs, operations, violations) = self.runs.entry(verdict.plan.workload).or_default();
        *runs += 1;
        *operations += verdict.operations;
        *violations += verdict.violations.len();
        for (kind, count) in &verdict.faults {
            *self.faults.entry(*kind).or_default() += count;
        }
        if !verdict.violations.is_empty() {
            eprintln!("{verdict}");
        }
    }

    fn totals(&self) -> (u64, usize, usize, usize) {
        let each = self.runs.values();
        let (runs, operations, violations) =
            each.fold((0, 0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1, sum.2 + one.2));
        (runs, operations, violations, self.faults.values().sum())
    }

    fn progress(&self, seed: u64, workload: Workload, end: Instant) -> String {
        let left = end.saturating_duration_since(Instant::now()).as_secs();
        let (runs, operations, violations, faults) = self.totals();
        format!(
            "{:>3}:{:02} left; seed {seed} {}; {runs} runs, {operations} operations, {faults} faults, {violations} violations",
            left / 60,
            left % 60,
            workload.as_str()
        )
    }

    /// Prints the summary. A violation, or that nothing was tried, is a failure.
    fn tell(&self, as_json: bool) -> ExitCode {
        let (runs, operations, violations, faults) = self.totals();
        if as_json {
            let kinds: BTreeMap<_, _> = self.faults.iter().map(|(kind, count)| (kind.to_string(), count)).collect();
            println!(
                "{}",
                json!({
                    "runs": runs, "operations": operations, "faults": kinds,
                    "violations": violations, "void": self.void,
                })
            );
        } else {
            println!("{:<16} {:>6} {:>12} {:>11}", "workload", "runs", "operations", "violations");
            for (workload, (runs, operations, violations)) in &self.runs {
                println!("{:<16} {runs:>6} {operations:>12} {violations:>11}", workload.as_str());
            }
            println!("{:<16} {runs:>6} {operations:>12} {violations:>11}", "all");
            println!("\n{:<16} {:>6}", "fault", "times");
            for (kind, count) in &self.faults {
                println!("{:<16} {count:>6}", kind.to_string());
            }
            println!("{:<16} {faults:>6}\n\nruns without a verdict: {}", "all", self.void);
        }
        if violations > 0 || runs == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}
