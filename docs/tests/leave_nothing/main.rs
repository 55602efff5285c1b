//! A program that ends leaves nothing held on any backend: each example, and the programs that everybody writes, whose work
//! ends normally, by an error, by a panic and by SIGTERM. On Redis, three replicas of an example hand over to each other.
//! The TTL is longer than a trial, so it hides nothing.

mod programs;
mod replicas;

use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};
use tooz::{Coordinator, Names};
use tooz_conformance::servers::{Deployment, DeploymentSpec, etcd, postgres, redis, zookeeper};

use self::programs::{PROGRAMS, WAYS, Way};

/// How long anything may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
/// Longer than any trial.
const TTL: &str = "ttl=30s";

/// How a server is started.
type Spec = fn() -> DeploymentSpec;

/// The servers, each with what comes before and after the address in its URL. The file driver has none.
const SERVERS: [(&str, Spec, &str, &str); 4] = [
    ("redis", redis::persistent, "redis://", ""),
    ("etcd", etcd::single, "etcd://", ""),
    ("zookeeper", zookeeper::single, "zookeeper://", ""),
    ("postgres", postgres::single, "postgres://postgres@", "/postgres"),
];
/// The examples that end by themselves.
const ENDING: [&str; 3] = ["quickstart", "lock_with_fencing", "pubsub"];
/// The examples that run until they are asked to end.
const STAYING: [&str; 7] =
    ["leader_service", "locked_command", "shards", "job_queue", "scheduled_job", "watch_members", "metrics"];

/// What makes a program end.
#[derive(Clone, Copy, PartialEq)]
enum Stop {
    ByItself,
    AtEndOfInput,
    BySigterm,
}

impl From<Way> for Stop {
    fn from(way: Way) -> Self {
        if way == Way::BySigterm { Self::BySigterm } else { Self::AtEndOfInput }
    }
}

type Outcome<T = ()> = Result<T, Failed>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, program, way] = arguments.as_slice()
        && word == "end"
    {
        return programs::run(program, way);
    }
    let mut arguments = Arguments::from_args();
    // Some examples meet each other by a port.
    arguments.test_threads = Some(1);
    let runtime = Arc::new(Runtime::new().expect("a runtime starts"));
    let directory = tempfile::tempdir().expect("there is a directory for temporary files");
    let mut trials = trials_on(&runtime, "file", format!("file://{}", directory.path().display()));
    let mut deployments = Vec::new();
    for (name, spec, scheme, path) in SERVERS {
        let is_chosen = arguments.filter.as_ref().is_none_or(|filter| filter.contains(name) || !filter.contains("::"));
        let address = match is_chosen && !arguments.list {
            true => {
                let deployment = runtime.block_on(Deployment::start(&spec())).expect("the server starts");
                let address = deployment.addresses().join(",");
                deployments.push(deployment);
                address
            }
            false => String::new(),
        };
        trials.extend(trials_on(&runtime, name, format!("{scheme}{address}{path}")));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    for deployment in deployments {
        runtime.block_on(deployment.remove()).expect("the server is removed");
    }
    conclusion.exit_code()
}

fn trials_on(runtime: &Arc<Runtime>, backend: &str, url: String) -> Vec<Trial> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let own_url = move || format!("{url}?{TTL}&namespace=trial-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let trial = |name: String, words: &[&str], stop: Stop| {
        let (runtime, own_url, mut program) = (runtime.clone(), own_url.clone(), program(words));
        Trial::test(format!("{backend}::{name}"), move || {
            runtime.block_on(async { timeout(LIMIT, leaves_nothing(&mut program, &own_url(), stop)).await? })
        })
    };
    let example = |name, stop| trial(format!("the_example_{name}"), &[name], stop);
    let mut trials: Vec<_> = ENDING.iter().map(|name| example(name, Stop::ByItself)).collect();
    trials.extend(STAYING.iter().map(|name| example(name, Stop::BySigterm)));
    for program in PROGRAMS {
        let ending = |(name, way): (&str, Way)| {
            trial(format!("a_{program}_that_ends_{name}"), &["end", program, name], way.into())
        };
        trials.extend(WAYS.map(ending));
    }
    if backend == "redis" {
        trials.extend(replicas::trials(runtime, own_url));
    }
    trials
}

/// Runs a program to its end and asserts that nothing is held then. Unless it ends by itself, it is stopped while it holds
/// something.
async fn leaves_nothing(program: &mut Command, url: &str, stop: Stop) -> Outcome {
    let coordinator = tooz::connect(url).await?;
    program
        .env("TOOZ_BACKEND", url)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    let mut child = program.spawn().map_err(|error| format!("{error}; run all tests of the package: {program:?}"))?;
    if stop != Stop::ByItself {
        while held(&coordinator).await?.is_empty() {
            if let Some(status) = child.try_wait()? {
                return Err(format!("the program ended early: {status}").into());
            }
            sleep(Duration::from_millis(20)).await;
        }
        drop(child.stdin.take());
    }
    if stop == Stop::BySigterm {
        terminate(&child)?;
    }
    child.wait().await?;
    let left = held(&coordinator).await?;
    coordinator.close().await;
    if left.is_empty() { Ok(()) } else { Err(format!("held after the end: {left:?}").into()) }
}

fn terminate(child: &Child) -> Outcome {
    let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed())).ok_or("the program ended early")?;
    Ok(kill_process(id, Signal::TERM)?)
}

/// Everything that a client holds or awaits.
async fn held(coordinator: &Coordinator) -> Outcome<Vec<String>> {
    let mut held = Vec::new();
    let names: [(&str, Names); 3] =
        [("lock", coordinator.locks()), ("semaphore", coordinator.semaphores()), ("election", coordinator.elections())];
    for (kind, names) in names {
        held.extend(names.all().await?.iter().map(|name| format!("{kind} {name}")));
    }
    for name in coordinator.groups().await? {
        let members = coordinator.group(&name).members().await?;
        held.extend(members.iter().map(|member| format!("member {} of {name}", member.id())));
    }
    Ok(held)
}

/// An example, or this program with its arguments.
fn program(words: &[&str]) -> Command {
    let this_program = std::env::current_exe().unwrap_or_default();
    if let ["end", ..] = words {
        let mut command = Command::new(this_program);
        command.args(words);
        return command;
    }
    // From target/debug/deps/<this program> to target/debug.
    let directory = this_program.ancestors().nth(2).map(PathBuf::from).unwrap_or_default();
    let mut command = Command::new(directory.join("examples").join(words.join(" ")));
    command.args(["sleep", "300"]);
    command
}
