//! A job that runs once in a period over all clients, even if the client that ran it crashes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tooz_core::{CancellationToken, Coordinator, Error, ErrorKind, Guard, Period, Result};

use super::coordinators::{pair, steady};
use super::fixtures::{A_WHILE, ends, fails, soon};
use crate::{Context, Failure, ensure, ensure_eq};

trials! { "once_per"
    NOTHING:
    one_of_many_clients_runs_the_job,
    the_next_period_has_another_run,
    a_period_has_no_second_run_after_a_crash,
    a_failed_job_ends_the_call_and_its_period,
    the_greatest_hold_time_drops_the_job,
    the_least_hold_time_keeps_the_lock,
    a_shutdown_releases_the_lock,
    once_in_returns_whether_it_ran,
    invalid_periods_are_refused;
}

/// Longer than any trial.
const LONG: Duration = Duration::from_secs(1_000_000);

fn needs_topics(context: &Context) -> Result<(), Failure> {
    match context.info()?.topics {
        true => Ok(()),
        false => Err(Failure::ignored("the driver says that it has no topics")),
    }
}

/// A client that counts its runs in the background.
struct Runner {
    shutdown: CancellationToken,
    task: JoinHandle<Result<()>>,
}

impl Runner {
    fn start(coordinator: &Coordinator, period: impl Into<Period>, runs: &Arc<AtomicU32>) -> Self {
        let (lock, period, shutdown) = (coordinator.lock("job"), period.into(), CancellationToken::new());
        let (token, runs) = (shutdown.clone(), runs.clone());
        let job = move |guard: Arc<Guard>| {
            assert!(
                guard.is_held(),
                "expected: the job runs while its guard is held\nactual: the guard was lost before"
            );
            runs.fetch_add(1, Ordering::SeqCst);
            async { Ok(()) }
        };
        Self { shutdown, task: tokio::spawn(async move { lock.once_per(period, &token, job).await }) }
    }

    async fn stop(self) -> Result<()> {
        self.shutdown.cancel();
        ends("the runner", self.task).await
    }
}

async fn reaches(runs: &AtomicU32, count: u32) {
    let reached = async {
        while runs.load(Ordering::SeqCst) < count {
            sleep(Duration::from_millis(10)).await;
        }
    };
    soon("the next run of the job", reached).await;
}

async fn one_of_many_clients_runs_the_job(context: Context) -> Result<(), Failure> {
    needs_topics(&context)?;
    let (a, b) = pair(&context).await?;
    let runs = Arc::new(AtomicU32::new(0));
    let runners: Vec<_> =
        (0..6).map(|index| Runner::start(if index % 2 == 0 { &a } else { &b }, LONG, &runs)).collect();
    reaches(&runs, 1).await;
    sleep(A_WHILE * 3).await;
    // A client that comes later finds the record.
    let late = Runner::start(&b, LONG, &runs);
    sleep(A_WHILE).await;
    ensure_eq!(runs.load(Ordering::SeqCst), 1);
    for runner in runners.into_iter().chain([late]) {
        runner.stop().await?;
    }
    Ok(())
}

async fn the_next_period_has_another_run(context: Context) -> Result<(), Failure> {
    needs_topics(&context)?;
    let (a, b) = pair(&context).await?;
    let (length, runs) = (Duration::from_millis(400), Arc::new(AtomicU32::new(0)));
    let number = || SystemTime::now().duration_since(UNIX_EPOCH).map(|now| now.as_millis() / length.as_millis());
    let first = number()?;
    let runners = [Runner::start(&a, length, &runs), Runner::start(&b, length, &runs)];
    reaches(&runs, 3).await;
    for runner in runners {
        runner.stop().await?;
    }
    let (count, periods) = (runs.load(Ordering::SeqCst), number()? - first + 1);
    ensure!(u128::from(count) <= periods, "the job ran {count} times in {periods} periods");
    Ok(())
}

async fn a_period_has_no_second_run_after_a_crash(context: Context) -> Result<(), Failure> {
    needs_topics(&context)?;
    let (a, b) = pair(&context).await?;
    let (runs, started) = (Arc::new(AtomicU32::new(0)), Arc::new(tokio::sync::Notify::new()));
    let (lock, notify, token) = (a.lock("job"), started.clone(), CancellationToken::new());
    let job = move |_| {
        notify.notify_one();
        std::future::pending::<Result<()>>()
    };
    let crashing = tokio::spawn(async move { lock.once_per(LONG, &token, job).await });
    soon("the first run", started.notified()).await;
    crashing.abort();
    a.close().await;
    let runner = Runner::start(&b, LONG, &runs);
    sleep(A_WHILE * 3).await;
    ensure_eq!(runs.load(Ordering::SeqCst), 0, "the period had two runs");
    runner.stop().await?;
    Ok(())
}

async fn a_failed_job_ends_the_call_and_its_period(context: Context) -> Result<(), Failure> {
    needs_topics(&context)?;
    let (a, b) = pair(&context).await?;
    let (token, runs) = (CancellationToken::new(), Arc::new(AtomicU32::new(0)));
    let failing = |_| async { Err(Error::new(ErrorKind::Corrupt, "the job failed")) };
    fails(soon("the failure", a.lock("job").once_per(LONG, &token, failing)).await, ErrorKind::Corrupt);
    ensure!(b.lock("job").try_acquire().await?.is_some(), "the lock was not released");
    let runner = Runner::start(&b, LONG, &runs);
    sleep(A_WHILE).await;
    ensure_eq!(runs.load(Ordering::SeqCst), 0);
    runner.stop().await?;
    Ok(())
}

async fn the_greatest_hold_time_drops_the_job(context: Context) -> Result<(), Failure> {
    needs_topics(&context)?;
    let (a, b) = pair(&context).await?;
    let period = Period::new(LONG).with_greatest_hold(Duration::from_millis(500));
    let (token, started) = (CancellationToken::new(), Arc::new(tokio::sync::Notify::new()));
    let (lock, stop, notify) = (a.lock("job"), token.clone(), started.clone());
    let hanging = move |_| {
        notify.notify_one();
        std::future::pending::<Result<()>>()
    };
    let task = tokio::spawn(async move { lock.once_per(period, &stop, hanging).await });
    soon("the run", started.notified()).await;
    drop(soon("the lock after the hold time", b.lock("job").acquire()).await?);
    token.cancel();
    ends("the runner", task).await?;
    Ok(())
}

async fn the_least_hold_time_keeps_the_lock(context: Context) -> Result<(), Failure> {
    needs_topics(&context)?;
    let (a, b) = pair(&context).await?;
    let least = Duration::from_millis(800);
    let runs = Arc::new(AtomicU32::new(0));
    let began = Instant::now();
    let runner = Runner::start(&a, Period::new(LONG).with_least_hold(least), &runs);
    reaches(&runs, 1).await;
    drop(soon("the lock after the least hold time", b.lock("job").acquire()).await?);
    ensure!(began.elapsed() >= least, "the lock was released after {:?}", began.elapsed());
    runner.stop().await?;
    Ok(())
}

async fn a_shutdown_releases_the_lock(context: Context) -> Result<(), Failure> {
    needs_topics(&context)?;
    let a = steady(&context, "a").await?;
    let runs = Arc::new(AtomicU32::new(0));
    let runner = Runner::start(&a, Period::new(LONG).with_least_hold(LONG), &runs);
    reaches(&runs, 1).await;
    runner.stop().await?;
    ensure!(a.lock("job").try_acquire().await?.is_some(), "the lock was not released at the shutdown");
    Ok(())
}

async fn invalid_periods_are_refused(context: Context) -> Result<(), Failure> {
    let (a, token) = (steady(&context, "a").await?, CancellationToken::new());
    let job = |_| async { Ok::<(), Error>(()) };
    fails(a.lock("job").once_per(Duration::ZERO, &token, job).await, ErrorKind::InvalidOption);
    fails(a.lock("").once_per(LONG, &token, job).await, ErrorKind::InvalidName);
    let period = Period::new(LONG).with_least_hold(LONG).with_greatest_hold(Duration::from_secs(1));
    fails(a.lock("job").once_per(period, &token, job).await, ErrorKind::InvalidOption);
    Ok(())
}

async fn once_in_returns_whether_it_ran(context: Context) -> Result<(), Failure> {
    needs_topics(&context)?;
    let (a, b) = pair(&context).await?;
    let job = |_: Arc<Guard>| async { Ok::<_, Error>(()) };
    ensure!(soon("the first turn", a.lock("job").once_in(LONG, job)).await?);
    for late in [&b, &a] {
        ensure!(!soon("a later turn", late.lock("job").once_in(LONG, job)).await?, "the period has had its run");
    }
    let failing = |_: Arc<Guard>| async { Err(Error::new(ErrorKind::Unexpected, "the job failed")) };
    fails(b.lock("other").once_in(LONG, failing).await, ErrorKind::Unexpected);
    ensure!(!soon("a turn after a failure", a.lock("other").once_in(LONG, job)).await?);
    a.lock("other").acquire_timeout(A_WHILE * 20).await?.release().await?;
    Ok(())
}
