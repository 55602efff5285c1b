//! Runs the trials of one backend against a server that is started for them.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tooz_conformance::proxy::Proxy;
use tooz_conformance::servers::{Deployment, DeploymentSpec};

use super::beat;
use super::program::{Finished, Program, eventually, tooz};
use crate::trials;

/// The TTL in the trials: the shortest that every server grants.
pub(crate) const TTL: Duration = Duration::from_secs(4);

/// How many trials run at once; most of them wait most of the time.
const THREADS: u32 = 4;

/// What a test program runs against.
#[derive(Debug)]
pub(crate) enum Server {
    /// A directory; there is no server.
    Directory,
    /// A server; the scheme of its URL with the user, and the path.
    Deployment(DeploymentSpec, &'static str, &'static str),
}

/// One trial's view of the backend: a namespace and a directory of its own.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) url: String,
    pub(crate) directory: TempDir,
    deployment: Option<(Arc<Runtime>, Arc<Deployment>)>,
}

impl Backend {
    /// Whether sessions end by a TTL.
    pub(crate) fn has_ttl(&self) -> bool {
        self.deployment.is_some()
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Program {
        Program::start(&self.url, arguments)
    }

    /// Starts `tooz run` with these arguments and a shell command.
    pub(crate) fn run(&self, arguments: &[&str], script: &str) -> Program {
        Program::start(&self.url, [&["run"], arguments, &["--", "sh", "-c", script]].concat())
    }

    /// Runs a command of tooz to its end.
    pub(crate) fn tooz(&self, arguments: &[&str]) -> Finished {
        tooz(&self.url).args(arguments).output().unwrap().into()
    }

    /// Asserts that no client holds or awaits the lock.
    #[track_caller]
    pub(crate) fn assert_free(&self, lock: &str) {
        self.run(&["--no-wait", lock], "true").finish().assert_code(0);
    }

    /// Waits until so many clients hold or await the lock.
    pub(crate) fn wait_for_clients(&self, lock: &str, count: usize) {
        let what = format!("{count} clients hold or await the lock");
        eventually(&what, || {
            self.tooz(&["lock", "show", lock, "--json"]).stdout.matches("\"token\":").count() == count
        });
    }

    /// A proxy in front of the server, and the URL through it.
    pub(crate) fn behind_proxy(&self) -> (Proxy, String) {
        let (runtime, deployment) = self.deployment.as_ref().unwrap();
        let address = &deployment.addresses()[0];
        let proxy = runtime.block_on(Proxy::start(address)).unwrap();
        let url = self.at(&proxy.address());
        (proxy, url)
    }

    /// The URL of a server at another address.
    pub(crate) fn at(&self, address: &str) -> String {
        let (_, deployment) = self.deployment.as_ref().unwrap();
        self.url.replace(&deployment.addresses()[0], address)
    }

    pub(crate) fn freeze(&self) {
        let (runtime, deployment) = self.deployment.as_ref().unwrap();
        runtime.block_on(deployment.pause()).unwrap();
    }

    pub(crate) fn thaw(&self) {
        let (runtime, deployment) = self.deployment.as_ref().unwrap();
        runtime.block_on(deployment.resume()).unwrap();
    }
}

impl Drop for Backend {
    /// Thaws the server that a failed trial has left frozen.
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some((runtime, deployment)) = &self.deployment
        {
            // It fails if the server is not frozen.
            let _ = runtime.block_on(deployment.resume());
        }
    }
}

/// Runs all trials. One that needs the server for itself, to freeze it or to count its packets, runs alone.
pub(crate) fn main(server: Server) -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, file, rest @ ..] = arguments.as_slice()
        && word == "beat"
    {
        beat::record(file, rest.first().map(|millis| millis.parse().unwrap()));
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS as usize);
    let runtime = Arc::new(Runtime::new().unwrap());
    end_on_interrupt(&runtime);
    let deployment = match &server {
        Server::Directory => None,
        Server::Deployment(..) if arguments.list => None,
        Server::Deployment(spec, ..) => Some(Arc::new(runtime.block_on(Deployment::start(spec)).unwrap())),
    };
    let (scheme, path) =
        if let Server::Deployment(_, scheme, path) = server { (scheme, path) } else { ("file://", "") };
    let with_server = deployment.clone().map(|deployment| (runtime.clone(), deployment));
    let has_server = with_server.is_some() || arguments.list;
    let chosen = trials::all().into_iter().filter(|trial| has_server || !trial.needs_server);
    let slots = Arc::new(Semaphore::new(THREADS as usize));
    let trials = chosen.map(|trial| {
        let (with_server, slots, runtime) = (with_server.clone(), slots.clone(), runtime.clone());
        Trial::test(trial.name, move || {
            let _slots = runtime.block_on(slots.acquire_many(if trial.needs_server { THREADS } else { 1 }));
            (trial.run)(&backend(scheme, path, with_server));
            Ok(())
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    if let Some(deployment) = deployment {
        runtime.block_on(deployment.remove()).unwrap();
    }
    conclusion.exit_code()
}

/// Ends the tests on Ctrl-C. A shell makes the programs that it starts in the background ignore it, which their children
/// inherit. A handler is not inherited, so that Ctrl-C ends the children as usual.
fn end_on_interrupt(runtime: &Runtime) {
    let mut interrupts = runtime.block_on(async { signal(SignalKind::interrupt()) }).unwrap();
    runtime.spawn(async move {
        interrupts.recv().await;
        std::process::exit(130);
    });
}

fn backend(scheme: &str, path: &str, deployment: Option<(Arc<Runtime>, Arc<Deployment>)>) -> Backend {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let directory = tempfile::tempdir().unwrap();
    let place = match &deployment {
        Some((_, deployment)) => deployment.addresses().join(","),
        None => directory.path().join("backend").display().to_string(),
    };
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let url = format!("{scheme}{place}{path}?ttl={}s&namespace=trial-{count}", TTL.as_secs());
    Backend { url, directory, deployment }
}
