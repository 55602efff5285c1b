//! The benchmark: a driver beside the least that its backend's own client must do, in one run and in turn.
//!
//! A driver's `benches/floor.rs` (with `harness = false`) hands its [`Harness`] and its [`Floor`] to
//! [`main`]. `cargo bench` measures; without `--bench` the program only shows that each figure can be taken. Arguments:
//! `--json FILE` and `--svg FILE` write the outcome, too; `--only PART` measures a part alone: pairs, hand-over, size,
//! memory, groups or topics.

mod chart;
mod figure;
mod floor;
mod group;
mod hand_over;
mod pair;
mod pin;
mod report;
mod size;
mod topic;
mod weight;

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use self::figure::Figure;
pub use self::floor::{Floor, Targets};
use self::report::Outcome;
use crate::backend::Target;
use crate::reach::Reach;
use crate::{Context, Failure, Harness, children};

/// Opens the floor in some namespace of a backend.
type OpenFloor = Arc<dyn Fn(Reach) -> BoxFuture<'static, Result<Arc<dyn Floor>, Failure>> + Send + Sync>;

/// Measures a driver beside its floor, prints a table, and writes files if asked to.
pub fn main<L, F>(harness: Harness, open: impl Fn(Reach) -> F + Send + Sync + 'static) -> ExitCode
where
    L: Floor,
    F: Future<Output = Result<L, Failure>> + Send + 'static,
{
    let open: OpenFloor =
        Arc::new(move |reach| open(reach).map(|floor| Ok(Arc::new(floor?) as Arc<dyn Floor>)).boxed());
    let passing = open.clone();
    let harness = harness
        .role(hand_over::CONTENDER, hand_over::play_contender)
        .role(hand_over::PASSER, move |child| hand_over::play_passer(child, passing.clone()))
        .role(group::LEADER, group::lead)
        .role(weight::WEIGHER, weight::weigh);
    if let Some(code) = children::play_role(&harness) {
        return code;
    }
    match measure(harness, open) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn measure(harness: Harness, open: OpenFloor) -> Result<(), Failure> {
    let arguments = Arguments::read()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        // What is started now stays where we are; then we go elsewhere.
        let server = pin::to_server_cores(&harness);
        let target = Arc::new(Target::start(&harness, false).await?);
        let pinned = server && pin::to_client_cores();
        let (means, version) = target.means(&harness);
        println!("{} by {means}, version {version}", harness.name);
        let bench = Bench {
            harness: Arc::new(harness),
            target: target.clone(),
            open,
            full: arguments.full,
            only: arguments.only,
            figures: Mutex::default(),
            start: Instant::now(),
        };
        let measured = bench.run().await;
        let removed = target.remove().await;
        measured.and(removed)?;
        let figures = std::mem::take(&mut *bench.figures.lock().unwrap_or_else(PoisonError::into_inner));
        let outcome = Outcome::new(&bench.harness.name, (means, version), (arguments.full, pinned), figures);
        outcome.print();
        outcome.write(arguments.json.as_deref(), arguments.svg.as_deref())
    })
}

/// The parts of the benchmark, as `--only` names them.
const PARTS: [&str; 6] = ["pairs", "hand-over", "size", "memory", "groups", "topics"];

/// What the command line asks for.
#[derive(Debug, Default)]
struct Arguments {
    full: bool,
    only: Option<String>,
    json: Option<PathBuf>,
    svg: Option<PathBuf>,
}

impl Arguments {
    fn read() -> Result<Self, Failure> {
        let mut read = Self::default();
        let mut given = std::env::args().skip(1);
        while let Some(argument) = given.next() {
            let mut next = |what| given.next().ok_or_else(|| Failure::new(format!("{argument} needs {what}")));
            match argument.as_str() {
                "--bench" => read.full = true,
                "--json" => read.json = Some(next("a file")?.into()),
                "--svg" => read.svg = Some(next("a file")?.into()),
                "--only" => {
                    let part = next("a part")?;
                    if !PARTS.contains(&&*part) {
                        return Err(Failure::new(format!("there is no part {part}, only {}", PARTS.join(", "))));
                    }
                    read.only = Some(part);
                }
                _ => {
                    return Err(Failure::new(format!(
                        "unknown argument {argument}; there are --json, --svg and --only"
                    )));
                }
            }
        }
        Ok(read)
    }
}

/// One run on one backend.
struct Bench {
    harness: Arc<Harness>,
    target: Arc<Target>,
    open: OpenFloor,
    full: bool,
    only: Option<String>,
    figures: Mutex<Vec<Figure>>,
    start: Instant,
}

impl Bench {
    async fn run(&self) -> Result<(), Failure> {
        for part in PARTS.into_iter().filter(|part| self.only.as_ref().is_none_or(|only| only == part)) {
            let measured = match part {
                "pairs" => pair::figures(self).boxed(),
                "hand-over" => hand_over::figures(self).boxed(),
                "size" => size::figures(self).boxed(),
                "memory" => weight::figures(self).boxed(),
                "groups" => group::figures(self).boxed(),
                _ => topic::figures(self).boxed(),
            };
            measured.await.map_err(|failure| failure.context(part))?;
        }
        Ok(())
    }

    /// A namespace that nothing else uses.
    fn fresh(&self) -> Context {
        Context::new(self.harness.clone(), self.target.clone())
    }

    async fn floor(&self, context: &Context) -> Result<Arc<dyn Floor>, Failure> {
        (self.open)(Reach::clone(context)).await
    }

    /// Keeps a figure, and shows that we are getting on.
    fn add(&self, figure: Figure) {
        eprintln!("{:>5.0} s  {}", self.start.elapsed().as_secs_f64(), report::line(&figure));
        self.figures.lock().unwrap_or_else(PoisonError::into_inner).push(figure);
    }

    /// How many rounds a figure has.
    fn rounds(&self) -> usize {
        if self.full { 7 } else { 1 }
    }

    /// The length of a round that repeats something.
    fn slice(&self, milliseconds: u64) -> Duration {
        Duration::from_millis(if self.full { milliseconds } else { milliseconds / 10 })
    }

    /// How many of something there are in a full run, and about a tenth of that otherwise.
    fn count(&self, full: u64) -> u64 {
        if self.full { full } else { full / 10 + 2 }
    }
}
