//! `tooz top` in a terminal.

use std::time::{Duration, Instant};

use tooz::{Coordinator, Guard};

use crate::support::harness::TTL;
use crate::support::terminal::Terminal;
use crate::support::{Backend, Beats, Program, eventually};

/// How many locks are held at once.
const MANY: usize = 1_000;

/// How many of them are released, and how many others acquired, one after the other.
const CHANGES: usize = 5;

/// For how long an idle view is observed, after as much time to come to rest.
const IDLE: Duration = Duration::from_secs(5);

/// How many locks are held before new names are counted, and how many new ones.
const KNOWN: usize = 200;
const NEW: usize = 20;

/// For how long the view follows the known locks before anything is counted.
const REST: Duration = Duration::from_secs(2);

/// What a new name may cost: its object is followed, and the session renews itself now and then.
const PACKETS_OF_A_NAME: u64 = 8;

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

pub(super) fn rows_are_sorted_and_ctrl_c_ends_the_view(backend: &Backend) {
    let Some(terminal) = top(&backend.url) else { return };
    let beats = Beats::new(backend.directory.path(), "holder");
    let _quiet = backend.run(&["a-quiet"], "sleep 300");
    backend.wait_for_clients("a-quiet", 1);
    let _busy = backend.run(&["z-busy"], &beats.forever());
    beats.wait_for_start();
    let _waiting = backend.run(&["z-busy"], "true");
    backend.wait_for_clients("z-busy", 2);
    terminal.wait_for(&["locks 2", "order: name"]);
    let is_before = |first: &str, second: &str| {
        let screen = terminal.screen();
        screen.find(first).zip(screen.find(second)).is_some_and(|(first, second)| first < second)
    };
    eventually("the order is by name", || is_before("a-quiet", "z-busy"));
    terminal.press(&["s"]);
    terminal.wait_for(&["order: waiters"]);
    eventually("the order is by waiters", || is_before("z-busy", "a-quiet"));
    terminal.press(&["C-c"]);
    terminal.wait_for_end();
}

pub(super) fn a_frozen_server_shows_and_the_view_goes_on(backend: &Backend) {
    let Some(terminal) = top(&backend.url) else { return };
    terminal.wait_for(&["tooz top", "connected", "locks 0"]);
    backend.freeze();
    eventually("the view says so", || {
        let screen = terminal.screen();
        // A session of a short TTL may be lost before a request has gone unanswered.
        screen.contains("the backend does not answer") || screen.contains("the session is lost")
    });
    std::thread::sleep(TTL);
    backend.thaw();
    terminal.wait_for(&["  connected"]);
    let beats = Beats::new(backend.directory.path(), "holder");
    let _holder = backend.run(&["after-the-thaw"], &beats.forever());
    terminal.wait_for(&["locks 1", "after-the-thaw"]);
    backend.freeze();
    terminal.press(&["q"]);
    terminal.wait_for_end();
    backend.thaw();
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

/// The view follows the new object, and lists nothing. The server is asked for no name that it was asked for before.
/// ZooKeeper does not say which name is new, so there the view lists the names.
pub(super) fn a_new_name_among_many_costs_a_view_few_requests(backend: &Backend) {
    if backend.url.starts_with("zookeeper") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (coordinator, mut guards) = runtime.block_on(hold_many(backend, KNOWN));
    let (proxy, url) = backend.behind_proxy();
    let Some(terminal) = top(&url) else { return };
    terminal.wait_for(&[&format!("locks {KNOWN} ")]);
    std::thread::sleep(REST);
    let before = proxy.traffic().chunks_to_server;
    for index in 0..NEW {
        guards.push(runtime.block_on(coordinator.lock(format!("new-{index}")).acquire()).unwrap());
        terminal.wait_for(&[&format!("locks {} ", guards.len())]);
    }
    let sent = proxy.traffic().chunks_to_server - before;
    println!("for {NEW} new names the view sent {sent} packets");
    assert!(sent <= NEW as u64 * PACKETS_OF_A_NAME, "the view sent {sent} packets for {NEW} new names");
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
