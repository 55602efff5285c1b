//! Runs test programs, several at once: most trials wait for servers most of the time. A test that failed beside others
//! is then repeated alone.

use std::collections::VecDeque;
use std::io::{Write, stderr, stdout};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use crate::run::Outcome;

/// How many jobs run at once. Each runs several trials at once itself.
const AT_ONCE: usize = 2;
/// The greatest number of failed tests of one job that are repeated. More do not fail because the machine is busy.
const MOST_REPEATED: usize = 5;

/// How often a failed test must pass in a row, so that one that fails by chance is not taken for one that was starved.
const REPEATS: usize = 5;

/// Something to run, with the name that announces it.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) command: Command,
}

/// A job that failed.
#[derive(Debug)]
struct Failed {
    job: Job,
    /// How it ended, and what it reports about its failures.
    reason: String,
    /// The names of the tests that failed.
    tests: Vec<String>,
}

/// Runs all jobs, several at once, and prints the output of each when it has ended. Repeats the tests that failed, one
/// after another. Fails if one of them fails again.
pub(crate) fn run_all(jobs: Vec<Job>) -> Outcome {
    let failed: Vec<_> = run_side_by_side(jobs).into_iter().filter(|failed| !failed.passes_alone()).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let texts: Vec<_> = failed.iter().map(|failed| format!("{}: {}", failed.job.name, failed.reason)).collect();
    Err(format!("these tests failed:\n{}", texts.join("\n")).into())
}

fn run_side_by_side(jobs: Vec<Job>) -> Vec<Failed> {
    let waiting = Mutex::new(VecDeque::from(jobs));
    let failed = Mutex::new(Vec::new());
    let work = || {
        while let Some(job) = next(&waiting) {
            let failure = job.run();
            failed.lock().unwrap_or_else(PoisonError::into_inner).extend(failure);
        }
    };
    thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
    failed.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn next(waiting: &Mutex<VecDeque<Job>>) -> Option<Job> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

impl Job {
    /// Runs the job and prints its output. Returns its failure, if it fails.
    fn run(mut self) -> Option<Failed> {
        eprintln!("> {}", self.name);
        let start = Instant::now();
        let output = match self.command.output() {
            Ok(output) => output,
            Err(error) => {
                return Some(Failed { job: self, reason: format!("it cannot be run: {error}"), tests: Vec::new() });
            }
        };
        // One lock for both streams, so that the outputs of two jobs do not mix.
        let mut shown = stdout().lock();
        // A reader that went away does not end the tests.
        writeln!(shown, "\n> {} took {:.0?}", self.name, start.elapsed()).ok();
        shown.write_all(&output.stdout).ok();
        stderr().write_all(&output.stderr).ok();
        if output.status.success() { None } else { Some(Failed::of(self, &output)) }
    }

    /// The same program with one test. It writes no report, so that the first outcome stays in the sums.
    fn of_test(&self, test: &str) -> Self {
        let mut command = Command::new(self.command.get_program());
        if let Some(directory) = self.command.get_current_dir() {
            command.current_dir(directory);
        }
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.env_remove("TOOZ_TEST_REPORT").args(["--exact", test]);
        Self { name: format!("{}, {test} alone", self.name), command }
    }
}

impl Failed {
    fn of(job: Job, output: &Output) -> Self {
        let shown = String::from_utf8_lossy(&output.stdout);
        let text = shown.split_once("\nfailures:\n").map(|(_, text)| text.trim_end()).unwrap_or_default();
        // The names come last, one a line.
        let names = text.rsplit_once("failures:\n").map_or(text, |(_, names)| names);
        let names = names.lines().map_while(|line| line.strip_prefix("    "));
        let tests = names.map(str::to_owned).collect();
        Self { job, reason: format!("{}\n{text}", output.status).trim_end().to_owned(), tests }
    }

    /// Runs its failed tests alone. Returns whether all pass, and prints that.
    fn passes_alone(&self) -> bool {
        let may_repeat = (1..=MOST_REPEATED).contains(&self.tests.len());
        let passes_alone = |test: &String| (0..REPEATS).all(|_| self.job.of_test(test).run().is_none());
        let passes = may_repeat && self.tests.iter().all(passes_alone);
        if passes {
            println!("\nxtask: PASSED ALONE ONLY: {}: {}", self.job.name, self.reason);
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    fn shell(script: &str) -> Job {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Job { name: script.to_owned(), command }
    }

    fn directory(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("tooz-jobs-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory for the test");
        directory
    }

    #[test]
    fn all_jobs_run_and_those_that_fail_are_named() {
        let error = run_all(["exit 3", "true", "exit 4", "true"].map(shell).into()).expect_err("two jobs fail");
        let error = error.to_string();
        assert!(error.contains("exit 3: exit status: 3") && error.contains("exit 4: exit status: 4"), "{error}");
        assert!(!error.contains("true"), "{error}");
    }

    /// The outcome of a program whose test `lock` fails, and ends with `alone` when it is run alone.
    fn fails_once(name: &str, alone: &str) -> Outcome {
        let directory = directory(name);
        let script = directory.join("program.sh");
        let failures =
            "running 2 tests\\n\\nfailures:\\n\\n---- lock ----\\nnot granted\\n\\nfailures:\\n    lock\\n\\nresult";
        let text = format!(
            "#!/bin/sh\nif test \"$*\" = '--exact lock'; then exit {alone}; fi\nprintf '{failures}'\nexit 101\n"
        );
        fs::write(&script, text).expect("a script");
        let made = Command::new("chmod").arg("755").arg(&script).status();
        assert!(made.is_ok_and(|status| status.success()), "the script can be run");
        let outcome = run_all(vec![Job { name: "program".to_owned(), command: Command::new(&script) }]);
        fs::remove_dir_all(&directory).ok();
        outcome
    }

    #[test]
    fn a_test_that_passes_alone_does_not_fail_the_run() {
        fails_once("passes", "0").expect("the test passes alone");
    }

    #[test]
    fn a_test_that_fails_alone_too_is_shown_at_the_end() {
        let error = fails_once("fails", "101").expect_err("the test fails again").to_string();
        assert!(error.contains("program: exit status: 101\n\n---- lock ----\nnot granted"), "{error}");
    }

    #[test]
    fn jobs_run_side_by_side() {
        let directory = directory("meet");
        // Each waits for the file that the other makes.
        let meet = |own: &str, other: &str| {
            let path = directory.display();
            shell(&format!(
                "touch {path}/{own}; for i in $(seq 100); do test -e {path}/{other} && exit; sleep 0.1; done; exit 1"
            ))
        };
        let outcome = run_all(vec![meet("a", "b"), meet("b", "a")]);
        fs::remove_dir_all(&directory).ok();
        outcome.expect("both jobs met");
    }
}
