//! The programs that every service has, as short as the examples of the same names. The work of each ends as a trial asks.

use std::process::ExitCode;
use std::time::Duration;

use tooz::{AssignmentEvent, CancellationToken, Coordinator, Error, ErrorKind, Result, StartAt, blocking};

/// The programs. One holds one of each kind.
pub(crate) const PROGRAMS: [&str; 6] =
    ["leader_service", "locked_command", "shards", "job_queue", "one_of_each_kind", "leader_without_async"];

/// How the work of a program ends.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Way {
    Normally,
    ByAnError,
    ByAPanic,
    BySigterm,
}

pub(crate) const WAYS: [(&str, Way); 4] = [
    ("normally", Way::Normally),
    ("by_an_error", Way::ByAnError),
    ("by_a_panic", Way::ByAPanic),
    ("by_sigterm", Way::BySigterm),
];

/// Runs a program until its work ends or the process is asked to end.
pub(crate) fn run(program: &str, way: &str) -> ExitCode {
    let way = WAYS.iter().find(|(name, _)| *name == way).expect("the trial names a way").1;
    let shutdown = tooz::shutdown().expect("signals are received");
    let ended = match program {
        "leader_without_async" => leader_without_async(&shutdown, way),
        _ => run_async(program, shutdown, way),
    };
    ended.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}

#[tokio::main(flavor = "current_thread")]
async fn run_async(program: &str, shutdown: CancellationToken, way: Way) -> Result<()> {
    tooz::scope(tooz_examples::backend_url(), |coordinator| async move {
        match program {
            "leader_service" => leader_service(&coordinator, &shutdown, way).await,
            "locked_command" => locked_command(&coordinator, &shutdown, way).await,
            "shards" => shards(&coordinator, &shutdown, way).await,
            "job_queue" => job_queue(&coordinator, &shutdown, way).await,
            _ => one_of_each_kind(&coordinator, &shutdown, way).await,
        }
    })
    .await
}

async fn leader_service(coordinator: &Coordinator, shutdown: &CancellationToken, way: Way) -> Result<()> {
    coordinator.election("e").lead(shutdown, |_| work(way)).await
}

async fn locked_command(coordinator: &Coordinator, shutdown: &CancellationToken, way: Way) -> Result<()> {
    let guard = coordinator.lock("l").acquire().await?;
    shutdown.run_until_cancelled(guard.run(work(way))).await.unwrap_or(Ok(()))
}

async fn shards(coordinator: &Coordinator, shutdown: &CancellationToken, way: Way) -> Result<()> {
    let group = coordinator.group("g");
    group.create_if_missing().await?;
    let _membership = group.join(()).await?;
    let mut assignments = group.assignments(["shard-0", "shard-1"], Duration::from_secs(30)).await?;
    let (Some(first), Some(_second)) = (assignments.next().await, assignments.next().await) else { return Ok(()) };
    let AssignmentEvent::Assigned(shard) = first? else { return Ok(()) };
    shutdown.run_until_cancelled(shard.run(work(way))).await.unwrap_or(Ok(()))
}

async fn job_queue(coordinator: &Coordinator, shutdown: &CancellationToken, way: Way) -> Result<()> {
    let jobs = coordinator.topic("jobs");
    jobs.publish(b"a job").await?;
    let next_job = || async {
        jobs.subscribe(StartAt::Earliest).await?.next().await?;
        work(way).await
    };
    coordinator.election("worker").lead(shutdown, |_| next_job()).await
}

async fn one_of_each_kind(coordinator: &Coordinator, shutdown: &CancellationToken, way: Way) -> Result<()> {
    let _guard = coordinator.lock("l").acquire().await?;
    let _permit = coordinator.semaphore("s", 1).acquire().await?;
    let _leadership = coordinator.election("e").campaign().await?;
    coordinator.group("g").create_if_missing().await?;
    let _membership = coordinator.group("g").join(()).await?;
    shutdown.run_until_cancelled(work(way)).await.unwrap_or(Ok(()))
}

fn leader_without_async(shutdown: &CancellationToken, way: Way) -> Result<()> {
    let coordinator = blocking::Coordinator::connect(tooz_examples::backend_url())?;
    coordinator.election("e").lead(shutdown, |leadership| {
        match way {
            Way::BySigterm => {
                while leadership.is_held() && !shutdown.is_cancelled() {
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
            _ => end_of_input(),
        }
        end(way)
    })
}

/// Works until the input of the process ends, or for ever.
async fn work(way: Way) -> Result<()> {
    match way {
        Way::BySigterm => std::future::pending().await,
        _ => drop(tokio::task::spawn_blocking(end_of_input).await),
    }
    end(way)
}

fn end(way: Way) -> Result<()> {
    match way {
        Way::ByAPanic => panic!("as the trial asks"),
        Way::ByAnError => Err(Error::new(ErrorKind::Unexpected, "as the trial asks")),
        _ => Ok(()),
    }
}

fn end_of_input() {
    // Whatever it reads, the input has ended.
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
}
