//! The harness itself: what fails a run, and that servers and children end when their parent is killed.
//!
//! Each case starts this program again, with the name of a case in its environment.

use std::path::Path;
use std::process::{ExitCode, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tooz_conformance::children::ChildContext;
use tooz_conformance::servers::{Deployment, DeploymentSpec, Launch, Location, NodeSpec, Product, redis};
use tooz_conformance::{BoxFuture, Context, Failure, Harness, Needs, ensure, ensure_eq, fail};
use tooz_core::memory;

const CASE: &str = "TOOZ_HARNESS_CASE";

fn main() -> ExitCode {
    let harness = Harness::in_process("harness", memory::DRIVER, |word| format!("memory://{word}")).only_own();
    let harness = harness.role("echo", echo);
    tooz_conformance::main(match std::env::var(CASE).as_deref() {
        Ok("empty") => harness,
        Ok("only_ignored") => harness.trial("a", Needs::NOTHING, |_| async { Err(Failure::ignored("no reason")) }),
        Ok("failure") => harness.trial("a", Needs::NOTHING, |_| async { fail!("one is not {}", 2) }),
        Ok("panic") => harness.trial("a", Needs::NOTHING, |_| async { panic!("out of range") }),
        Ok("slow") => harness.trial("a", Needs::NOTHING.within(Duration::from_millis(50)), |_| std::future::pending()),
        Ok("unmet") => harness.trial("a", Needs::NOTHING, |context| async move { context.server().map(drop) }),
        Ok("starved_once") => harness.trial("a", Needs::NOTHING, |_| starve(1)),
        Ok("starved_always") => harness.trial("a", Needs::NOTHING, |_| starve(usize::MAX)),
        Ok("starved_server") => with_a_slow_server().trial("a", Needs::NOTHING, |_| fail_once()),
        Ok("parent") => harness.trial("a", Needs::NOTHING, wait_to_be_killed),
        _ => harness
            .trial("run::fails_without_a_trial", Needs::NOTHING, |_| fails("empty", "no trial of harness was executed"))
            .trial("run::fails_if_all_are_ignored", Needs::NOTHING, |_| fails("only_ignored", "no trial"))
            .trial("run::shows_why_a_trial_failed", Needs::NOTHING, |_| fails("failure", "one is not 2"))
            .trial("run::shows_why_a_trial_panicked", Needs::NOTHING, |_| fails("panic", "out of range"))
            .trial("run::ends_a_slow_trial", Needs::NOTHING, |_| fails("slow", "the trial did not end within 50ms"))
            .trial("run::refuses_to_disturb_a_shared_server", Needs::NOTHING, |_| fails("unmet", "Needs::OWN_SERVER"))
            .trial("run::repeats_a_starved_trial", Needs::NOTHING, |_| repeats_a_starved_trial())
            .trial("run::fails_a_trial_that_is_always_starved", Needs::NOTHING, |_| {
                fails("starved_always", "as in 3 runs before")
            })
            .trial("run::repeats_a_trial_whose_server_is_starved", Needs::NOTHING, |_| {
                repeats_a_trial_whose_server_is_starved()
            })
            .trial("children::talk_freeze_and_die", Needs::NOTHING, children_talk_freeze_and_die)
            .trial("children::and_servers_end_with_a_killed_parent", Needs::NOTHING, all_end_with_a_killed_parent),
    })
}

async fn fails(case: &str, words: &str) -> Result<(), Failure> {
    let Output { status, stdout, stderr } = again(case)?.output().await?;
    let text = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    ensure!(!status.success(), "{case} succeeded: {text}");
    ensure!(text.contains(words), "{case} does not print {words:?}: {text}");
    Ok(())
}

/// In the first `times` runs, starves the trial of processor time and fails it.
async fn starve(times: usize) -> Result<(), Failure> {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    if RUNS.fetch_add(1, Ordering::SeqCst) >= times {
        return Ok(());
    }
    let blocking = || tokio::spawn(async { std::thread::sleep(Duration::from_millis(600)) });
    let blocking: Vec<_> = (0..4).map(|_| blocking()).collect();
    for task in blocking {
        task.await?;
    }
    fail!("a deadline was missed")
}

async fn repeats_a_starved_trial() -> Result<(), Failure> {
    let Output { status, stdout, stderr } = again("starved_once")?.output().await?;
    let text = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    ensure!(status.success(), "the repeated trial failed: {text}");
    ensure!(text.contains("a: starved, repeated (1 of 3)"), "the run does not report the repetition: {text}");
    Ok(())
}

/// A server that starts at once and is slow afterwards.
fn with_a_slow_server() -> Harness {
    static PRODUCT: Product = Product::new("sleep", &["sleep"], |_| Box::pin(async { Ok("1".to_owned()) }));
    static REQUESTS: AtomicUsize = AtomicUsize::new(0);
    let answer = |_| -> BoxFuture<'static, std::io::Result<()>> {
        Box::pin(async {
            if REQUESTS.fetch_add(1, Ordering::SeqCst) > 0 {
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            Ok(())
        })
    };
    let launch = |_: &[Location], _| Launch { args: vec!["60".to_owned()], ..Launch::default() };
    let spec = DeploymentSpec::new(&PRODUCT, vec![NodeSpec::new("server", launch, answer)]);
    Harness::new("starved", memory::DRIVER, spec, |_| "memory://starved".to_owned()).only_own()
}

async fn fail_once() -> Result<(), Failure> {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    tokio::time::sleep(Duration::from_millis(700)).await;
    ensure!(RUNS.fetch_add(1, Ordering::SeqCst) > 0, "the first run");
    Ok(())
}

async fn repeats_a_trial_whose_server_is_starved() -> Result<(), Failure> {
    let Output { status, stderr, .. } = again("starved_server")?.env("TOOZ_TEST_PROVISION", "program").output().await?;
    let text = String::from_utf8_lossy(&stderr).into_owned();
    ensure!(status.success(), "the repeated trial failed: {text}");
    ensure!(text.contains("its server server took"), "the run does not name the server: {text}");
    Ok(())
}

fn again(case: &str) -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env(CASE, case).env_remove("TOOZ_TEST_REPORT").kill_on_drop(true);
    Ok(command)
}

/// A child that sends every text back twice.
async fn echo(context: ChildContext) -> Result<(), Failure> {
    context.send(&context.args::<u32>()?)?;
    loop {
        let word: String = context.receive().await?;
        println!("a line that is not for the parent");
        context.send(&format!("{word}{word}"))?;
    }
}

async fn children_talk_freeze_and_die(context: Context) -> Result<(), Failure> {
    let mut child = context.spawn("echo", &7)?;
    ensure_eq!(child.receive::<u32>().await?, 7);
    child.send(&"ab").await?;
    ensure_eq!(child.receive::<String>().await?, "abab");
    child.pause()?;
    child.send(&"cd").await?;
    let silence = tokio::time::timeout(Duration::from_millis(100), child.receive::<String>()).await;
    ensure!(silence.is_err(), "a frozen child sent {silence:?}");
    child.resume()?;
    ensure_eq!(child.receive::<String>().await?, "cdcd");
    child.pause()?;
    child.kill().await?;
    ensure!(child.receive::<String>().await.is_err(), "a killed child sent a value");
    Ok(())
}

/// Starts a server and a frozen child, prints their pid and address, and waits.
async fn wait_to_be_killed(context: Context) -> Result<(), Failure> {
    let mut child = context.spawn("echo", &1)?;
    child.receive::<u32>().await?;
    child.pause()?;
    let server = Deployment::start(&redis::single()).await?;
    println!("@{} {}", child.id().unwrap_or_default(), server.nodes()[0].address());
    std::future::pending().await
}

async fn all_end_with_a_killed_parent(_: Context) -> Result<(), Failure> {
    if !Path::new("/usr/bin/setpriv").exists() || !Path::new("/usr/bin/redis-server").exists() {
        return Err(Failure::ignored("needs setpriv and redis-server as programs"));
    }
    let mut parent = again("parent")?.env("TOOZ_TEST_PROVISION", "program").stdout(Stdio::piped()).spawn()?;
    let output = parent.stdout.take().ok_or_else(|| Failure::new("no output"))?;
    let mut lines = BufReader::new(output).lines();
    let traces = loop {
        let line = lines.next_line().await?.ok_or_else(|| Failure::new("the parent ended early"))?;
        if let Some((_, traces)) = line.split_once('@') {
            break traces.to_owned();
        }
    };
    let (child, server) = traces.split_once(' ').ok_or_else(|| Failure::new(format!("unexpected {traces}")))?;
    parent.kill().await?;
    let (mut child_lives, mut server_lives) = (true, true);
    for _ in 0..100 {
        child_lives = is_alive(child);
        server_lives = tokio::net::TcpStream::connect(server).await.is_ok();
        if !child_lives && !server_lives {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    fail!(
        "expected: child and server end with their killed parent\nactual: child {child} runs: {child_lives}, server {server} runs: {server_lives}"
    )
}

/// Whether a process runs or is frozen. A zombie does not count.
fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
