//! Long tests: one run after another, each from its own seed, on a backend with faults, until the time is over.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::fault::{FaultKind, Faults};
use super::trials::play;
use super::verdict::Verdict;
use super::workload::Workload;
use crate::harness::{DriverUnderTest, RunningBackend};
use crate::{Context, Failure};

/// The environment variable with which `cargo xtask soak` starts a long test instead of trials.
const VARIABLE: &str = "TOOZ_SOAK";

/// How long the clients of one run work.
const LENGTH: Duration = Duration::from_secs(20);

#[derive(Debug, Deserialize)]
struct Assignment {
    minutes: f64,
    seed: u64,
    /// Whether standard output gets only the summary, as JSON.
    json: bool,
}

/// The sums over all runs so far.
#[derive(Debug, Default)]
struct Sum {
    runs: BTreeMap<Workload, (u64, usize, usize)>,
    faults: BTreeMap<FaultKind, usize>,
    /// The runs that broke rules, with the seeds that repeat them.
    broken: Vec<Broken>,
    /// The number of runs without a verdict, because something other than the driver failed.
    without_verdict: u64,
}

/// A run that broke rules.
#[derive(Debug, Serialize)]
struct Broken {
    seed: u64,
    workload: &'static str,
    rules: BTreeSet<String>,
}

/// Runs the long test if the environment asks for one.
pub(crate) fn soak(subject: &Arc<DriverUnderTest>) -> Option<ExitCode> {
    let assignment = env::var(VARIABLE).ok()?;
    let outcome = serde_json::from_str(&assignment).map_err(Failure::from).and_then(|assignment: Assignment| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let sum = runtime.block_on(soak_all(subject.clone(), &assignment));
        runtime.shutdown_background();
        sum.map(|sum| sum.print(assignment.json))
    });
    Some(outcome.unwrap_or_else(|failure| {
        eprintln!("error: {failure}");
        ExitCode::FAILURE
    }))
}

async fn soak_all(subject: Arc<DriverUnderTest>, assignment: &Assignment) -> Result<Sum, Failure> {
    let backend = Arc::new(RunningBackend::start(&subject, true).await?);
    let with_server_faults = backend.deployment.is_some();
    let (provision, version) = backend.provision(&subject);
    eprintln!(
        "soaking {} {version}, provided by {provision}, for {} minutes, from seed {}",
        subject.name, assignment.minutes, assignment.seed
    );
    let end = Instant::now() + Duration::from_secs_f64(assignment.minutes * 60.0);
    let mut sum = Sum::default();
    for seed in assignment.seed.. {
        // The workload follows from the seed alone, so that a seed repeats its run.
        let workload = Workload::ALL[(seed % Workload::ALL.len() as u64) as usize];
        if Instant::now() >= end {
            break;
        }
        let context = Context::new(subject.clone(), backend.clone());
        if workload == Workload::Topic && !context.info()?.topics {
            continue;
        }
        // Half of the runs inject no faults into servers, so that clients and networks get their share.
        let faults = match (seed / Workload::ALL.len() as u64) % 4 {
            0 if with_server_faults => Faults::Servers,
            2 if with_server_faults => Faults::Data,
            1 if workload == Workload::Group => Faults::Restarts,
            _ => Faults::Clients,
        };
        match play(&context, workload, seed, LENGTH, faults).await {
            Ok(verdict) => sum.add(verdict),
            Err(failure) => {
                sum.without_verdict += 1;
                eprintln!("seed {seed}, workload {}: the run failed: {failure}", workload.as_str());
            }
        }
        eprintln!("{}", sum.progress(seed, workload, end));
    }
    backend.remove().await?;
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
            self.broken.push(Broken {
                seed: verdict.plan.seed,
                workload: verdict.plan.workload.as_str(),
                rules: verdict.violations.iter().map(|violation| format!("{:?}", violation.rule)).collect(),
            });
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

    fn to_json(&self) -> serde_json::Value {
        let (runs, operations, violations, _) = self.totals();
        let faults: BTreeMap<_, _> = self.faults.iter().map(|(kind, count)| (kind.to_string(), count)).collect();
        json!({
            "runs": runs, "operations": operations, "faults": faults,
            "violations": violations, "broken": self.broken, "void": self.without_verdict,
        })
    }

    /// Prints the summary. A violation, or no run at all, is a failure.
    fn print(&self, as_json: bool) -> ExitCode {
        let (runs, _, violations, _) = self.totals();
        if as_json {
            println!("{}", self.to_json());
        } else {
            print!("{self}");
        }
        if violations > 0 || runs == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (runs, operations, violations, faults) = self.totals();
        writeln!(f, "{:<16} {:>6} {:>12} {:>11}", "workload", "runs", "operations", "violations")?;
        for (workload, (runs, operations, violations)) in &self.runs {
            writeln!(f, "{:<16} {runs:>6} {operations:>12} {violations:>11}", workload.as_str())?;
        }
        writeln!(f, "{:<16} {runs:>6} {operations:>12} {violations:>11}", "all")?;
        writeln!(f, "\n{:<16} {:>6}", "fault", "times")?;
        for (kind, count) in &self.faults {
            writeln!(f, "{:<16} {count:>6}", kind.to_string())?;
        }
        writeln!(f, "{:<16} {faults:>6}\n\nruns without a verdict: {}", "all", self.without_verdict)?;
        for Broken { seed, workload, rules } in &self.broken {
            let rules: Vec<_> = rules.iter().map(String::as_str).collect();
            writeln!(f, "broken: seed {seed}, workload {workload}: {}", rules.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::event::Act;
    use crate::history::test_support::{history, request};
    use crate::history::{Plan, judge};

    #[test]
    fn a_summary_names_the_seeds_and_the_rules_that_they_broke() {
        let granted = |client| [(1, client, Act::Ask(0, request())), (2, client, Act::Granted(0, 5))];
        let history = history(granted(0).into_iter().chain(granted(1)));
        let (length, processes) = (LENGTH, (1, 2));
        let plan = Plan { workload: Workload::Lock, seed: 77, length, processes, timing: history.timing };
        let mut sum = Sum::default();
        sum.add(judge(&plan, &history));
        assert!(sum.to_string().ends_with("broken: seed 77, workload lock: Linearizable, RisingTokens\n"), "{sum}");
        let broken = json!([{ "seed": 77, "workload": "lock", "rules": ["Linearizable", "RisingTokens"] }]);
        assert_eq!(sum.to_json()["broken"], broken);
    }
}
