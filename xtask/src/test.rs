//! Runs all tests and reports how each backend was tested and with what outcome.

use std::fs;
use std::path::Path;

use clap::Args;
use serde_json::Value;

use crate::backends::{Backend, chosen, set_up, set_up_valkey};
use crate::jobs::{Job, run_all};
use crate::programs::{Program, build};
use crate::run::{Outcome, cargo, root};

/// The tests, each with its package, that a plain `cargo test` leaves out.
const FURTHER_TESTS: [(&str, &str); 2] = [("tooz-redis", "valkey"), ("tooz-zookeeper", "tls")];
/// Leaves the long histories out: they need minutes, and run once for each server product.
const WITHOUT_HISTORIES: [&str; 2] = ["--skip", "history::"];

/// What to test.
#[derive(Args, Debug, Default)]
pub(crate) struct Options {
    /// Test one backend only: memory, file, redis, etcd, zookeeper or postgres.
    #[arg(long)]
    backend: Option<String>,
}

/// Sets up what is missing, runs the tests and fails if a backend was not tested.
pub(crate) fn test(options: &Options) -> Outcome {
    let backends = chosen(options.backend.as_deref())?;
    set_up(&backends)?;
    let reports = root().join("target").join("tooz-reports");
    fs::remove_dir_all(&reports).ok();
    fs::create_dir_all(&reports)?;
    let mut args = vec!["--all-features"];
    match options.backend {
        Some(_) => backends.iter().for_each(|backend| args.extend(["--package", backend.package])),
        None => args.push("--workspace"),
    }
    let mut programs = build(&args)?;
    let further =
        FURTHER_TESTS.iter().filter(|(package, _)| backends.iter().any(|backend| backend.package == *package));
    let further: Vec<_> = further.flat_map(|(_, test)| ["--test", test]).collect();
    if !further.is_empty() {
        programs.extend(build(&[&args[..], &further].concat())?);
    }
    let mut jobs = jobs(&programs);
    jobs.push(Job { name: "the tests in docs".to_owned(), command: cargo(&[&["test", "--doc"], &args[..]].concat())? });
    for job in &mut jobs {
        job.command.env("TOOZ_TEST_REPORT", &reports);
    }
    let outcome = run_all(jobs);
    let untested = report(&backends, &reports)?;
    outcome?;
    if untested.is_empty() { Ok(()) } else { Err(format!("not tested: {}", untested.join(", ")).into()) }
}

/// The runs of these programs. The last three leave the long histories out, as they repeat a suite of the same driver: Valkey;
/// and zookeeper-client, over TLS on one server and without TLS on an ensemble. So no two ensembles run side by side.
fn jobs(programs: &[Program]) -> Vec<Job> {
    let (mut jobs, mut repetitions) = (Vec::new(), Vec::new());
    for program in programs {
        let is = |package, test| program.is(package, test);
        if is("tooz-redis", "valkey") {
            repetitions.extend(can_have_valkey().then(|| program.job(&WITHOUT_HISTORIES)));
        } else if is("tooz-zookeeper", "tls") {
            repetitions.push(with_zookeeper_client(program));
        } else {
            jobs.push(program.job(&[]));
            repetitions.extend(is("tooz-zookeeper", "ensemble").then(|| with_zookeeper_client(program)));
        }
    }
    jobs.into_iter().chain(repetitions).collect()
}

fn with_zookeeper_client(program: &Program) -> Job {
    let mut job = program.job(&WITHOUT_HISTORIES);
    job.name += ", with zookeeper-client";
    job.command.env("TOOZ_TEST_ZOOKEEPER_CLIENT", "zookeeper-client");
    job
}

/// Whether the tests can run on Valkey. If not, that is reported but is not a failure.
fn can_have_valkey() -> bool {
    let reason = set_up_valkey().err();
    if let Some(reason) = &reason {
        println!("xtask: NOT TESTED on Valkey, which this machine cannot have ({reason})");
    }
    reason.is_none()
}

/// Prints one line for each report, and the sums. Returns the names of the harnesses without a passing report.
fn report(backends: &[&Backend], reports: &Path) -> Outcome<Vec<&'static str>> {
    let mut outcomes = Vec::new();
    for file in fs::read_dir(reports)? {
        outcomes.push(serde_json::from_str::<Value>(&fs::read_to_string(file?.path())?)?);
    }
    outcomes.sort_by_key(|outcome| text(outcome, "name").to_owned());
    println!("\n{:<24} {:>7} {:>7} {:>7}  by", "trials of", "passed", "failed", "ignored");
    let mut sums = [0; 3];
    for outcome in &outcomes {
        let counts = ["passed", "failed", "ignored"].map(|key| outcome[key].as_u64().unwrap_or(0));
        sums = [0, 1, 2].map(|index| sums[index] + counts[index]);
        let [passed, failed, ignored] = counts;
        let (name, provision, version) = (text(outcome, "name"), text(outcome, "provision"), text(outcome, "version"));
        println!("{name:<24} {passed:>7} {failed:>7} {ignored:>7}  {provision}, version {version}");
    }
    let passed = |name: &str| {
        let mut own = outcomes.iter().filter(|outcome| text(outcome, "name") == name);
        own.any(|outcome| outcome["passed"].as_u64().unwrap_or(0) > 0)
    };
    let wanted = backends.iter().flat_map(|backend| &backend.harnesses);
    let untested: Vec<_> = wanted.copied().filter(|name| !passed(name)).collect();
    for name in &untested {
        println!("{name:<24} {:>7} {:>7} {:>7}  not tested", 0, 0, 0);
    }
    println!("trials: {} passed, {} failed, {} skipped", sums[0], sums[1], sums[2]);
    Ok(untested)
}

fn text<'a>(outcome: &'a Value, key: &str) -> &'a str {
    outcome[key].as_str().unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_that_was_not_run_is_named() -> Outcome {
        let reports = std::env::temp_dir().join(format!("tooz-reports-{}", std::process::id()));
        fs::create_dir_all(&reports)?;
        for (name, passed) in [("zookeeper", 1), ("zookeeper-tls", 0), ("zookeeper-faults", 1)] {
            let report = serde_json::json!({ "name": name, "passed": passed });
            fs::write(reports.join(format!("{name}.json")), report.to_string())?;
        }
        let backends = chosen(Some("zookeeper"))?;
        let untested = report(&backends, &reports);
        fs::remove_dir_all(&reports)?;
        assert_eq!(untested?, ["zookeeper-ensemble", "zookeeper-tls", "zookeeper-client-ensemble"]);
        Ok(())
    }
}
