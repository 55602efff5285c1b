//! The benchmark: a driver beside the least that its backend's own client must do, in one run and in turn.
//!
//! A driver's `benches/floor.rs` (with `harness = false`) hands its [`Harness`] and its [`Floor`] to
//! [`main`]. `cargo bench` measures; without `--bench` the program only shows that each figure can be taken. Arguments:
//! `--json FILE` and `--svg FILE` write the outcome, too.

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

/// What the command line asks for.
#[derive(Debug, Default)]
struct Arguments {
    full: bool,
    json: Option<PathBuf>,
    svg: Option<PathBuf>,
}

impl Arguments {
    fn read() -> Result<Self, Failure> {
        let mut read = Self::default();
        let mut given = std::env::args().skip(1);
        while let Some(argument) = given.next() {
            let mut file =
                || given.next().map(PathBuf::from).ok_or_else(|| Failure::new(format!("{argument} needs a file")));
            match argument.as_str() {
                "--bench" => read.full = true,
                "--json" => read.json = Some(file()?),
                "--svg" => read.svg = Some(file()?),
                _ => return Err(Failure::new(format!("unknown argument {argument}; there are --json and --svg"))),
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
    figures: Mutex<Vec<Figure>>,
    start: Instant,
}

impl Bench {
    async fn run(&self) -> Result<(), Failure> {
        pair::figures(self).await.map_err(|failure| failure.context("pairs"))?;
        hand_over::figures(self).await.map_err(|failure| failure.context("hand-over"))?;
        size::figures(self).await.map_err(|failure| failure.context("many locks"))?;
        weight::figures(self).await.map_err(|failure| failure.context("memory"))?;
        group::figures(self).await.map_err(|failure| failure.context("groups"))?;
        topic::figures(self).await.map_err(|failure| failure.context("topics"))
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
