//! The harness itself: what fails a run, and what becomes of servers and children when their parent is killed.
//!
//! Each case is this program again, told by its environment to run another harness.

use std::path::Path;
use std::process::{ExitCode, Output, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tooz_conformance::children::ChildContext;
use tooz_conformance::servers::{Deployment, redis};
use tooz_conformance::{Context, Failure, Harness, Needs, ensure, ensure_eq, fail};
use tooz_core::memory;

const CASE: &str = "TOOZ_HARNESS_CASE";

fn main() -> ExitCode {
    let harness = Harness::in_process("harness", memory::DRIVER, |word| format!("memory://{word}")).only_own();
    let harness = harness.role("echo", echo);
    tooz_conformance::main(match std::env::var(CASE).as_deref() {
        Ok("empty") => harness,
        Ok("only_ignored") => harness.trial("a", Needs::NOTHING, |_| async { Err(Failure::ignored("no reason")) }),
        Ok("failure") => harness.trial("a", Needs::NOTHING, |_| async { fail!("one is not {}", 2) }),
        Ok("panic") => harness.trial("a", Needs::NOTHING, |_| async { panic!("at the wheel") }),
        Ok("slow") => harness.trial("a", Needs::NOTHING.within(Duration::from_millis(50)), |_| std::future::pending()),
        Ok("unmet") => harness.trial("a", Needs::NOTHING, |context| async move { context.server().map(drop) }),
        Ok("parent") => harness.trial("a", Needs::NOTHING, be_killed),
        _ => harness
            .trial("run::fails_without_a_trial", Needs::NOTHING, |_| fails("empty", "no trial of harness was executed"))
            .trial("run::fails_if_all_are_ignored", Needs::NOTHING, |_| fails("only_ignored", "no trial"))
            .trial("run::tells_why_a_trial_failed", Needs::NOTHING, |_| fails("failure", "one is not 2"))
            .trial("run::tells_why_a_trial_panicked", Needs::NOTHING, |_| fails("panic", "at the wheel"))
            .trial("run::ends_a_slow_trial", Needs::NOTHING, |_| fails("slow", "a did not end within 50ms"))
            .trial("run::gives_no_shared_server_away", Needs::NOTHING, |_| fails("unmet", "Needs::OWN_SERVER"))
            .trial("children::talk_and_suffer", Needs::NOTHING, children_talk_and_suffer)
            .trial("children::and_servers_die_with_a_killed_parent", Needs::NOTHING, all_die_with_a_killed_parent),
    })
}

async fn fails(case: &str, words: &str) -> Result<(), Failure> {
    let Output { status, stdout, stderr } = again(case)?.output().await?;
    let text = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    ensure!(!status.success(), "{case} succeeded: {text}");
    ensure!(text.contains(words), "{case} does not say {words:?}: {text}");
    Ok(())
}

fn again(case: &str) -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env(CASE, case).env_remove("TOOZ_TEST_REPORT").kill_on_drop(true);
    Ok(command)
}

/// A child that says everything twice.
async fn echo(context: ChildContext) -> Result<(), Failure> {
    context.send(&context.args::<u32>()?)?;
    loop {
        let word: String = context.receive().await?;
        println!("noise that is not for the parent");
        context.send(&format!("{word}{word}"))?;
    }
}

async fn children_talk_and_suffer(context: Context) -> Result<(), Failure> {
    let mut child = context.spawn("echo", &7)?;
    ensure_eq!(child.receive::<u32>().await?, 7);
    child.send(&"ab").await?;
    ensure_eq!(child.receive::<String>().await?, "abab");
    child.pause()?;
    child.send(&"cd").await?;
    let silence = tokio::time::timeout(Duration::from_millis(100), child.receive::<String>()).await;
    ensure!(silence.is_err(), "a frozen child said {silence:?}");
    child.resume()?;
    ensure_eq!(child.receive::<String>().await?, "cdcd");
    child.pause()?;
    child.kill().await?;
    ensure!(child.receive::<String>().await.is_err(), "a killed child goes on");
    Ok(())
}

/// Starts a server and a frozen child, says where their traces are, and waits to be killed.
async fn be_killed(context: Context) -> Result<(), Failure> {
    let mut child = context.spawn("echo", &1)?;
    child.receive::<u32>().await?;
    child.pause()?;
    let server = Deployment::start(&redis::single()).await?;
    println!("@{} {}", child.id().unwrap_or_default(), server.nodes()[0].address());
    std::future::pending().await
}

async fn all_die_with_a_killed_parent(_: Context) -> Result<(), Failure> {
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
        child_lives = lives(child);
        server_lives = tokio::net::TcpStream::connect(server).await.is_ok();
        if !child_lives && !server_lives {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    fail!("child {child} lives: {child_lives}, server {server} lives: {server_lives}, though their parent was killed")
}

/// Whether a process runs or is frozen; one that nobody has waited for yet is dead all the same.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
