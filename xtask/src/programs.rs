//! Builds the test programs of packages, and runs several at once: most trials wait for servers most of the time.

use std::collections::VecDeque;
use std::io::{Write, stderr, stdout};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use serde_json::Value;

use crate::run::{Outcome, cargo, read};

/// How many programs run at once. Each runs several trials at once itself.
const AT_ONCE: usize = 2;

/// Something to run, with the name that announces it.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) command: Command,
}

/// A test program that cargo built.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    package: String,
    target: String,
    directory: PathBuf,
    executable: PathBuf,
}

impl Program {
    /// Whether this is the program of the test `target` of `package`.
    pub(crate) fn is(&self, package: &str, target: &str) -> bool {
        self.package == package && self.target == target
    }

    /// Runs the program as cargo would, with these arguments.
    pub(crate) fn job(&self, args: &[&str]) -> Job {
        let mut command = Command::new(&self.executable);
        command.current_dir(&self.directory).args(args).env("CARGO_MANIFEST_DIR", &self.directory);
        let name = [&self.package, &self.target].into_iter().map(String::as_str).chain(args.iter().copied());
        Job { name: name.collect::<Vec<_>>().join(" "), command }
    }
}

/// Builds the test programs that `cargo test` with these arguments would run, without the tests in docs.
pub(crate) fn build(args: &[&str]) -> Outcome<Vec<Program>> {
    let build = ["test", "--no-run", "--message-format", "json-render-diagnostics"];
    let messages = read(&mut cargo(&[&build, args].concat())?)?;
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(messages.filter_map(|message| program(&message)).collect())
}

fn program(message: &Value) -> Option<Program> {
    message["profile"]["test"].as_bool().filter(|test| *test)?;
    let executable = PathBuf::from(message["executable"].as_str()?);
    let mut directory = PathBuf::from(message["manifest_path"].as_str()?);
    directory.pop();
    let package = directory.file_name()?.to_str()?.to_owned();
    Some(Program { package, target: message["target"]["name"].as_str()?.to_owned(), directory, executable })
}

/// Runs all jobs, several at once, and prints the output of each when it has ended. Fails if one of them failed. The error
/// repeats the reports of their failures, which are far above the end of the output.
pub(crate) fn run_all(jobs: Vec<Job>) -> Outcome {
    let waiting = Mutex::new(VecDeque::from(jobs));
    let failed = Mutex::new(Vec::new());
    let work = || {
        while let Some(job) = next(&waiting) {
            let name = job.name.clone();
            if let Err(reason) = run_one(job) {
                failed.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{name}: {reason}"));
            }
        }
    };
    thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    if failed.is_empty() { Ok(()) } else { Err(format!("these tests failed:\n{}", failed.join("\n")).into()) }
}

fn next(waiting: &Mutex<VecDeque<Job>>) -> Option<Job> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

fn run_one(mut job: Job) -> Result<(), String> {
    eprintln!("> {}", job.name);
    let start = Instant::now();
    let output = job.command.output().map_err(|error| format!("it cannot be run: {error}"))?;
    // One lock for both streams, so that the outputs of two jobs do not mix.
    let mut shown = stdout().lock();
    // A reader that went away does not end the tests.
    writeln!(shown, "\n> {} took {:.0?}", job.name, start.elapsed()).ok();
    shown.write_all(&output.stdout).ok();
    stderr().write_all(&output.stderr).ok();
    if output.status.success() { Ok(()) } else { Err(format!("{}{}", output.status, failures(&output.stdout))) }
}

/// What a test program reports about its failures at the end of its output.
fn failures(output: &[u8]) -> String {
    let output = String::from_utf8_lossy(output);
    output.split_once("\nfailures:\n").map_or_else(String::new, |(_, failures)| format!("\n{}", failures.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Job {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Job { name: script.to_owned(), command }
    }

    #[test]
    fn all_jobs_run_and_those_that_fail_are_named() {
        let error = run_all(["exit 3", "true", "exit 4", "true"].map(shell).into()).expect_err("two jobs fail");
        let error = error.to_string();
        assert!(error.contains("exit 3: exit status: 3") && error.contains("exit 4: exit status: 4"), "{error}");
        assert!(!error.contains("true"), "{error}");
    }

    #[test]
    fn the_failures_are_repeated_at_the_end() {
        let job = shell("printf 'running 2 tests\\n\\nfailures:\\n\\n---- lock ----\\nnot granted\\n'; exit 101");
        let error = run_all(vec![job]).expect_err("the job fails").to_string();
        assert!(error.ends_with("exit status: 101\n---- lock ----\nnot granted"), "{error}");
    }

    #[test]
    fn jobs_run_side_by_side() {
        let directory = std::env::temp_dir().join(format!("tooz-jobs-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory for the test");
        // Each waits for the file that the other makes.
        let meet = |own: &str, other: &str| {
            let path = directory.display();
            shell(&format!(
                "touch {path}/{own}; for i in $(seq 100); do test -e {path}/{other} && exit; sleep 0.1; done; exit 1"
            ))
        };
        let outcome = run_all(vec![meet("a", "b"), meet("b", "a")]);
        std::fs::remove_dir_all(&directory).ok();
        outcome.expect("both jobs met");
    }
}
