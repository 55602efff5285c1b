//! Runs a harness: as a test program with one test a trial, or as one of its own children.

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Failed};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::JoinError;
use tokio::time::timeout;

use crate::backend::Target;
use crate::children;
use crate::context::{Context, missing};
use crate::history;
use crate::report::Report;
use crate::servers::{on_servers, remove_ours};
use crate::{Failure, Harness, Trial};

/// How many ordinary trials run at once; most of them wait most of the time.
const THREADS: usize = 4;
/// How many trials that own servers run at once.
const HARMFUL: usize = 2;

/// Runs the suite, and the harness's own trials, as libtest does: with its arguments, output and exit code.
///
/// A run without a filter in which no trial was executed fails.
pub fn main(harness: Harness) -> ExitCode {
    if let Some(code) = children::play_role(&harness) {
        return code;
    }
    remove_servers_when_interrupted();
    let harness = Arc::new(harness);
    if let Some(code) = history::soak(&harness) {
        return code;
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let filtered = arguments.list || arguments.filter.is_some() || !arguments.skip.is_empty();
    let suite = Arc::new(Suite {
        harness,
        shared: OnceCell::new(),
        harmful: Semaphore::new(HARMFUL),
        report: Report::default(),
    });
    let tests = suite.harness.trials.iter().map(|trial| suite.test(trial.clone())).collect();
    let conclusion = libtest_mimic::run(&arguments, tests);
    suite.finish();
    if !filtered && conclusion.num_passed + conclusion.num_failed == 0 {
        eprintln!("error: no trial of {} was executed", suite.harness.name);
        return ExitCode::FAILURE;
    }
    suite.report.write(&suite.harness.name, &conclusion);
    conclusion.exit_code()
}

/// Runs one trial of `harness` on a backend of its own and returns how it ended: for tests of the suite itself.
///
/// # Errors
/// Those of the trial; also if there is none of this name.
pub fn outcome(harness: Harness, trial: &str) -> Result<(), Failure> {
    let found = harness.trials.iter().find(|other| other.name == trial).cloned();
    let trial = found.ok_or_else(|| Failure::new(format!("there is no trial {trial}")))?;
    let (harness, runtime) = (Arc::new(harness), runtime()?);
    let outcome = runtime.block_on(async {
        let target = Arc::new(Target::start(&harness, true).await?);
        let outcome = attempt(&trial, Context::new(harness.clone(), target.clone())).await;
        outcome.and(target.remove().await)
    });
    runtime.shutdown_background();
    outcome
}

struct Suite {
    harness: Arc<Harness>,
    shared: OnceCell<Result<Arc<Target>, Failure>>,
    harmful: Semaphore,
    report: Report,
}

impl Suite {
    fn test(self: &Arc<Self>, trial: Trial) -> libtest_mimic::Trial {
        let suite = self.clone();
        libtest_mimic::Trial::ignorable_test(trial.name.clone(), move || suite.run(&trial))
    }

    fn run(&self, trial: &Trial) -> Result<Completion, Failed> {
        let known = self.harness.known.iter().find(|(name, _)| *name == trial.name).map(|(_, reason)| reason.clone());
        if let Some(reason) = known.or_else(|| missing(&self.harness, trial.needs)) {
            return Ok(Completion::ignored_with(reason));
        }
        match runtime().and_then(|runtime| {
            let outcome = runtime.block_on(self.run_on_target(trial));
            // What the trial left behind ends here; nothing may wait for it.
            runtime.shutdown_background();
            outcome
        }) {
            Ok(()) => Ok(Completion::Completed),
            Err(failure) if failure.is_ignored() => Ok(Completion::ignored_with(failure)),
            Err(failure) => Err(Failed::from(failure.to_string())),
        }
    }

    async fn run_on_target(&self, trial: &Trial) -> Result<(), Failure> {
        if !trial.needs.own_server {
            let target = self.shared().await?;
            return attempt(trial, Context::new(self.harness.clone(), target)).await;
        }
        let _permit = self.harmful.acquire().await?;
        let target = Arc::new(Target::start(&self.harness, true).await?);
        self.report.on(target.means(&self.harness), &self.harness.name);
        let outcome = attempt(trial, Context::new(self.harness.clone(), target.clone())).await;
        let removed = target.remove().await;
        outcome.and(removed)
    }

    /// The backend that ordinary trials share; started by the first of them.
    async fn shared(&self) -> Result<Arc<Target>, Failure> {
        let start = async || {
            let target = Arc::new(Target::start(&self.harness, false).await?);
            self.report.on(target.means(&self.harness), &self.harness.name);
            Ok(target)
        };
        self.shared.get_or_init(start).await.clone()
    }

    fn finish(&self) {
        let Some(Ok(target)) = self.shared.get() else { return };
        if let Err(failure) = runtime().and_then(|runtime| runtime.block_on(target.remove())) {
            eprintln!("warning: a server was left behind: {failure}");
        }
    }
}

/// Runs the trial's own future, within its time limit; a panic in it is its failure.
async fn attempt(trial: &Trial, context: Context) -> Result<(), Failure> {
    let mut running = tokio::spawn((trial.run)(context));
    match timeout(trial.needs.time_limit, &mut running).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => Err(Failure::new(words_of(panic))),
        Err(_) => {
            running.abort();
            Err(Failure::new(format!("{} did not end within {:?}", trial.name, trial.needs.time_limit)))
        }
    }
}

/// What was given to `panic!` or `assert!`.
fn words_of(panic: JoinError) -> String {
    let Ok(payload) = panic.try_into_panic() else { return "the trial was cancelled".to_owned() };
    let words = payload.downcast_ref::<String>().cloned();
    words.or_else(|| payload.downcast_ref::<&str>().map(|&words| words.to_owned())).unwrap_or_default()
}

fn runtime() -> Result<Runtime, Failure> {
    Ok(Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// Programs end with this process; containers must be removed when it is interrupted.
fn remove_servers_when_interrupted() {
    std::thread::spawn(|| {
        let Ok(runtime) = runtime() else { return };
        runtime.block_on(async {
            let Ok(mut terminated) = signal(SignalKind::terminate()) else { return };
            let code = tokio::select! {
                _ = tokio::signal::ctrl_c() => 130,
                _ = terminated.recv() => 143,
            };
            on_servers(remove_ours()).await.ok();
            std::process::exit(code);
        });
    });
}
