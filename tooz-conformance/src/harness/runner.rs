//! Runs a harness: as a test program with one test for each trial, or as one of its child processes.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use libtest_mimic::{Arguments, Completion, Failed};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::JoinError;
use tokio::time::timeout;

use super::report::Report;
use super::running_backend::RunningBackend;
use super::starvation::{Starvation, Watchdog};
use super::{Context, DriverUnderTest, Failure, Harness, Trial};
use crate::servers::{on_servers, remove_own};
use crate::{children, history, trials};

/// How many ordinary trials run at once; most of them wait most of the time.
const THREADS: usize = 4;
/// How many trials that own servers run at once.
const WITH_OWN_SERVER: usize = 2;
/// How often a trial that failed while it was starved is repeated.
const REPEATS: usize = 3;

/// Runs the suite, and the harness's own trials, as libtest does: with its arguments, output and exit code.
///
/// A run without a filter in which no trial was executed fails.
pub fn main(mut harness: Harness) -> ExitCode {
    harness.roles.extend(trials::roles());
    if let Some(code) = children::play_role(&harness) {
        return code;
    }
    remove_servers_when_interrupted();
    let Harness { subject, own_trials, with_suite, ignored, .. } = harness;
    let subject = Arc::new(subject);
    if let Some(code) = history::soak(&subject) {
        return code;
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let filtered = arguments.list || arguments.filter.is_some() || !arguments.skip.is_empty();
    let suite = Arc::new(Suite {
        subject,
        ignored,
        shared: OnceCell::new(),
        with_own_server: Semaphore::new(WITH_OWN_SERVER),
        report: Report::default(),
    });
    let tests = all(with_suite, own_trials).map(|trial| suite.test(trial)).collect();
    let conclusion = libtest_mimic::run(&arguments, tests);
    suite.finish();
    if !filtered && conclusion.num_passed + conclusion.num_failed == 0 {
        eprintln!("error: no trial of {} was executed", suite.subject.name);
        return ExitCode::FAILURE;
    }
    suite.report.write(&suite.subject.name, &conclusion);
    conclusion.exit_code()
}

/// Runs one trial of `harness` on a backend of its own and returns its outcome: for tests of the suite itself.
///
/// # Errors
/// Those of the trial, and one if the harness has no trial of this name.
pub fn outcome(harness: Harness, trial: &str) -> Result<(), Failure> {
    let found = all(harness.with_suite, harness.own_trials).find(|other| other.name == trial);
    let trial = found.ok_or_else(|| Failure::new(format!("the harness has no trial {trial}")))?;
    let (subject, runtime) = (Arc::new(harness.subject), runtime()?);
    let outcome = runtime.block_on(async {
        let backend = Arc::new(RunningBackend::start(&subject, true).await?);
        let outcome = attempt(&trial, Context::new(subject.clone(), backend.clone())).await;
        outcome.and(backend.remove().await)
    });
    runtime.shutdown_background();
    outcome
}

/// The trials of a harness, in the order in which they are listed.
fn all(with_suite: bool, own: Vec<Trial>) -> impl Iterator<Item = Trial> {
    let suite = if with_suite { trials::all() } else { Vec::new() };
    suite.into_iter().chain(own)
}

struct Suite {
    subject: Arc<DriverUnderTest>,
    ignored: Vec<(String, String)>,
    shared: OnceCell<Result<Arc<RunningBackend>, Failure>>,
    with_own_server: Semaphore,
    report: Report,
}

impl Suite {
    fn test(self: &Arc<Self>, trial: Trial) -> libtest_mimic::Trial {
        let suite = self.clone();
        libtest_mimic::Trial::ignorable_test(trial.name.clone(), move || suite.run(&trial))
    }

    fn run(&self, trial: &Trial) -> Result<Completion, Failed> {
        let ignored = self.ignored.iter().find(|(name, _)| *name == trial.name).map(|(_, reason)| reason.clone());
        if let Some(reason) = ignored.or_else(|| self.subject.missing(trial.needs)) {
            return Ok(Completion::ignored_with(reason));
        }
        match self.run_unless_starved(trial) {
            Ok(()) => Ok(Completion::Completed),
            Err(failure) if failure.is_ignored() => Ok(Completion::ignored_with(failure)),
            Err(failure) => Err(Failed::from(failure.to_string())),
        }
    }

    /// Runs the trial, and repeats it as long as it fails while it is starved.
    fn run_unless_starved(&self, trial: &Trial) -> Result<(), Failure> {
        for repeat in 1..=REPEATS {
            match self.run_once(trial)? {
                (Err(failure), Some(starved)) if !failure.is_ignored() => {
                    eprintln!(
                        "{}: starved, repeated ({repeat} of {REPEATS}): it failed, but {starved}: {failure}",
                        trial.name
                    );
                }
                (outcome, _) => return outcome,
            }
        }
        let (outcome, starved) = self.run_once(trial)?;
        outcome.map_err(|failure| match starved {
            Some(starved) => failure.context(format!("starved, as in {REPEATS} runs before: {starved}")),
            None => failure,
        })
    }

    /// The outcome of one run, and whether the trial or its servers were starved.
    fn run_once(&self, trial: &Trial) -> Result<(Result<(), Failure>, Option<Starvation>), Failure> {
        let runtime = runtime()?;
        let outcome = runtime.block_on(async {
            let watchdog = Watchdog::start();
            let outcome = self.run_on_backend(trial, &watchdog).await;
            (outcome, watchdog.starved())
        });
        // This ends the tasks that the trial left behind, without waiting for them.
        runtime.shutdown_background();
        Ok(outcome)
    }

    async fn run_on_backend(&self, trial: &Trial, watchdog: &Watchdog) -> Result<(), Failure> {
        if !trial.needs.own_server {
            let backend = self.shared().await?;
            let start = Instant::now();
            watchdog.watch(backend.deployment.as_ref());
            let outcome = attempt(trial, Context::new(self.subject.clone(), backend)).await;
            self.report.took(&trial.name, start.elapsed());
            return outcome;
        }
        let _permit = self.with_own_server.acquire().await?;
        let start = Instant::now();
        let backend = Arc::new(RunningBackend::start(&self.subject, true).await?);
        self.report.provided_by(backend.provision(&self.subject), &self.subject.name);
        watchdog.watch(backend.deployment.as_ref());
        let outcome = attempt(trial, Context::new(self.subject.clone(), backend.clone())).await;
        let removed = backend.remove().await;
        self.report.took(&trial.name, start.elapsed());
        outcome.and(removed)
    }

    /// The backend that ordinary trials share; started by the first of them.
    async fn shared(&self) -> Result<Arc<RunningBackend>, Failure> {
        let start = async || {
            let backend = Arc::new(RunningBackend::start(&self.subject, false).await?);
            self.report.provided_by(backend.provision(&self.subject), &self.subject.name);
            Ok(backend)
        };
        self.shared.get_or_init(start).await.clone()
    }

    fn finish(&self) {
        let Some(Ok(backend)) = self.shared.get() else { return };
        if let Err(failure) = runtime().and_then(|runtime| runtime.block_on(backend.remove())) {
            eprintln!("warning: failed to remove a server: {failure}");
        }
    }
}

/// Runs the trial's own future within its time limit. A panic in it is its failure.
async fn attempt(trial: &Trial, context: Context) -> Result<(), Failure> {
    let mut running = tokio::spawn((trial.run)(context));
    let limit = trial.needs.time_limit;
    let outcome = match timeout(limit, &mut running).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => Err(Failure::new(panic_message(panic))),
        Err(_) => {
            running.abort();
            Err(Failure::new(format!("the trial did not end within {limit:?}")))
        }
    };
    outcome.map_err(|failure| failure.with_rule(&trial.rule()))
}

/// What was given to `panic!`.
fn panic_message(panic: JoinError) -> String {
    let Ok(payload) = panic.try_into_panic() else { return "the trial was cancelled".to_owned() };
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_default()
}

fn runtime() -> Result<Runtime, Failure> {
    Ok(Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// Removes containers when this process is interrupted. Server programs end with this process anyway.
fn remove_servers_when_interrupted() {
    std::thread::spawn(|| {
        let Ok(runtime) = runtime() else { return };
        runtime.block_on(async {
            let Ok(mut terminated) = signal(SignalKind::terminate()) else { return };
            let code = tokio::select! {
                _ = tokio::signal::ctrl_c() => 130,
                _ = terminated.recv() => 143,
            };
            on_servers(remove_own()).await.ok();
            std::process::exit(code);
        });
    });
}
