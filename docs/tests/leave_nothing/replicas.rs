//! Three replicas of an example, of which one works at a time, and SIGTERM to that one.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libtest_mimic::Trial;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::{LIMIT, Outcome, held, program, terminate};

const REPLICAS: usize = 3;
/// A replica that hands over needs less, and one that leaves its entry to the TTL needs more.
const AT_ONCE: Duration = Duration::from_secs(10);
/// The period of the example `scheduled_job`.
const PERIOD: Duration = Duration::from_secs(10);

pub(crate) fn trials(runtime: &Arc<Runtime>, url: impl Fn() -> String + Clone + Send + 'static) -> [Trial; 2] {
    [("leads", true), ("runs_the_job", false)].map(|(does, leads)| {
        let (runtime, url) = (runtime.clone(), url.clone());
        Trial::test(format!("redis::one_of_three_replicas_{does}_and_sigterm_hands_over"), move || {
            let hand_over = async {
                match leads {
                    true => leaders_hand_over(&url()).await,
                    false => jobs_move_on(&url()).await,
                }
            };
            runtime.block_on(async { timeout(2 * LIMIT, hand_over).await? })
        })
    })
}

/// The replicas of an example, and which of them print a line of their work.
struct Replicas {
    children: Vec<Option<Child>>,
    lines: mpsc::UnboundedReceiver<usize>,
}

impl Replicas {
    /// Starts the replicas of `example`. A line of their work begins with `word`.
    fn start(example: &str, word: &'static str, url: &str) -> Outcome<Self> {
        let (sender, lines) = mpsc::unbounded_channel();
        let mut children = Vec::new();
        for index in 0..REPLICAS {
            let mut command = program(&[example]);
            command.env("TOOZ_BACKEND", url).stdout(Stdio::piped()).kill_on_drop(true);
            let mut child = command.spawn()?;
            let mut output = BufReader::new(child.stdout.take().ok_or("its output is piped")?).lines();
            let sender = sender.clone();
            tokio::spawn(async move {
                while let Ok(Some(line)) = output.next_line().await {
                    if line.starts_with(word) {
                        let _ = sender.send(index);
                    }
                }
            });
            children.push(Some(child));
        }
        Ok(Self { children, lines })
    }

    /// The next replica that works, of those that were not asked to end.
    async fn next(&mut self, limit: Duration) -> Outcome<usize> {
        let next = async {
            loop {
                let index = self.lines.recv().await.ok_or("no replica is left")?;
                if self.children[index].is_some() {
                    return Ok(index);
                }
            }
        };
        timeout(limit, next).await.map_err(|_| format!("no replica works after {limit:?}"))?
    }

    /// Asks a replica to end, and waits until it has.
    async fn end(&mut self, index: usize) -> Outcome {
        let mut child = self.children[index].take().ok_or("the replica has ended before")?;
        terminate(&child)?;
        let status = timeout(AT_ONCE, child.wait()).await.map_err(|_| "the replica did not end at once")??;
        if status.success() { Ok(()) } else { Err(format!("the replica failed: {status}").into()) }
    }
}

async fn leaders_hand_over(url: &str) -> Outcome {
    let mut replicas = Replicas::start("leader_service", "This process leads", url)?;
    let mut leader = replicas.next(LIMIT).await?;
    for left in (0..REPLICAS).rev() {
        // The leader prints a line each second.
        for _ in 0..2 {
            let other = replicas.next(AT_ONCE).await?;
            if other != leader {
                return Err(format!("the replicas {leader} and {other} lead at the same time").into());
            }
        }
        replicas.end(leader).await?;
        if left > 0 {
            leader = replicas.next(AT_ONCE).await?;
        }
    }
    nothing_is_held(url).await
}

async fn jobs_move_on(url: &str) -> Outcome {
    // Early in a period, the clock tells the period of a run when its line is read.
    let (_, since_its_start) = period()?;
    sleep(PERIOD - since_its_start).await;
    let mut replicas = Replicas::start("scheduled_job", "The report", url)?;
    let mut periods = Vec::new();
    for _ in 0..REPLICAS {
        let worker = replicas.next(PERIOD + AT_ONCE).await?;
        periods.push(period()?.0);
        // It still holds the lock, for its least hold time.
        replicas.end(worker).await?;
    }
    if !periods.is_sorted_by(|earlier, later| earlier < later) {
        return Err(format!("a period had two runs: {periods:?}").into());
    }
    nothing_is_held(url).await
}

/// The number of the present period, and the time since its start.
fn period() -> Outcome<(u128, Duration)> {
    let (now, length) = (SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis(), PERIOD.as_millis());
    Ok((now / length, Duration::from_millis(u64::try_from(now % length)?)))
}

async fn nothing_is_held(url: &str) -> Outcome {
    let coordinator = tooz::connect(url).await?;
    let left = held(&coordinator).await?;
    coordinator.close().await;
    if left.is_empty() { Ok(()) } else { Err(format!("held after the end: {left:?}").into()) }
}
