//! `tooz top` in a terminal.

use std::time::{Duration, Instant};

use tooz::{Coordinator, Guard};

use crate::support::terminal::Terminal;
use crate::support::{Backend, Beats, Program};

/// How many locks are held at once.
const MANY: usize = 1_000;

/// How many of them are released, and how many others acquired, one after the other.
const CHANGES: usize = 5;

/// For how long an idle view is observed, after as much time to come to rest.
const IDLE: Duration = Duration::from_secs(5);

/// Starts `tooz top`; `None` without tmux.
fn top(url: &str) -> Option<Terminal> {
    let program = env!("CARGO_BIN_EXE_tooz");
    let terminal = Terminal::start(&format!("'{program}' top --url '{url}'"));
    if terminal.is_none() {
        eprintln!("tmux is not installed, so `tooz top` was not tested");
    }
    terminal
}

pub(super) fn changes_appear_and_a_lock_is_broken(backend: &Backend) {
    let Some(terminal) = top(&backend.url) else { return };
    terminal.wait_for(&["tooz top", "connected", "locks 0"]);
    let beats = Beats::new(backend.directory.path(), "holder");
    let holder = backend.run(&["nightly"], &beats.forever());
    beats.wait_for_start();
    let waiter = backend.start(&["run", "nightly", "--", "true"]);
    terminal.wait_for(&["locks 1", "nightly", "holds ", "waits "]);
    let candidate = backend.start(&["group", "join", "workers", "--capability", "weight=2"]);
    terminal.wait_for(&["groups 1", "workers"]);
    terminal.press(&["/", "nightly", "Enter"]);
    terminal.wait_for(&["filter: nightly"]);
    terminal.press(&["b"]);
    terminal.wait_for(&["Break lock nightly?"]);
    terminal.press(&["y"]);
    holder.finish().assert_code(76);
    waiter.finish().assert_code(0);
    terminal.wait_for(&["broke lock nightly", "locks 0"]);
    terminal.press(&["q"]);
    terminal.wait_for_end();
    drop(candidate);
}

pub(super) fn a_thousand_locks_are_readable(backend: &Backend) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (coordinator, mut guards) = runtime.block_on(hold_many(backend, MANY));
    let Some(terminal) = top(&backend.url) else { return };
    terminal.wait_for(&["locks 1000", "lock-0000"]);
    terminal.press(&["End"]);
    terminal.wait_for(&["lock-0999"]);
    terminal.press(&["/", "0500"]);
    terminal.wait_for(&["filter: 0500", "lock-0500"]);
    let mut times = Vec::new();
    for left in (MANY - CHANGES..MANY).rev() {
        let released = guards.swap_remove(left);
        let started = Instant::now();
        runtime.block_on(released.release()).unwrap();
        terminal.wait_for(&[&format!("locks {left} ")]);
        times.push(started.elapsed());
    }
    println!("releases were on the screen after {times:.0?}");
    times.clear();
    for index in 0..CHANGES {
        let lock = coordinator.lock(format!("new-{index}"));
        let started = Instant::now();
        guards.push(runtime.block_on(lock.acquire()).unwrap());
        terminal.wait_for(&[&format!("locks {} ", guards.len())]);
        times.push(started.elapsed());
    }
    println!("new names were on the screen after {times:.0?}");
    terminal.press(&["Enter", "q"]);
    terminal.wait_for_end();
    drop(guards);
    runtime.block_on(coordinator.close());
}

/// The view follows many objects, and sends what any session sends to stay alive.
pub(super) fn an_idle_view_costs_no_more_than_a_session(backend: &Backend) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (coordinator, guards) = runtime.block_on(hold_many(backend, 20));
    let ((proxy, url), (idle_proxy, idle_url)) = (backend.behind_proxy(), backend.behind_proxy());
    let Some(terminal) = top(&url) else { return };
    terminal.wait_for(&["locks 20"]);
    let _idle = Program::start(&idle_url, ["group", "join", "idle"]);
    terminal.wait_for(&["groups 1"]);
    std::thread::sleep(IDLE);
    let sent = || [&proxy, &idle_proxy].map(|proxy| proxy.traffic().chunks_to_server);
    let before = sent();
    std::thread::sleep(IDLE);
    let [view, idle] = [0, 1].map(|index| sent()[index] - before[index]);
    println!("in {IDLE:?} the view sent {view} packets, and a session without a view {idle}");
    assert!(view <= idle * 2 + 2, "the view sent {view} packets, a session without a view {idle}");
    terminal.press(&["q"]);
    terminal.wait_for_end();
    drop(guards);
    runtime.block_on(coordinator.close());
}

async fn hold_many(backend: &Backend, count: usize) -> (Coordinator, Vec<Guard>) {
    // Not a driver under test: it only holds.
    let url = backend.url.replace("ttl=4s", "ttl=30s");
    let coordinator = Coordinator::builder(url).timeout(Duration::from_secs(30)).connect().await.unwrap();
    let mut guards = Vec::new();
    for index in 0..count {
        guards.push(coordinator.lock(format!("lock-{index:04}")).acquire().await.unwrap());
    }
    (coordinator, guards)
}
