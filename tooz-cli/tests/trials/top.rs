//! `tooz top` in a terminal.

use std::time::{Duration, Instant};

use tooz::{Coordinator, Guard};

use crate::support::terminal::Terminal;
use crate::support::{Backend, Beats};

/// How many locks are held at once.
const MANY: usize = 1_000;

/// How many of them are released, one after the other.
const CHANGES: usize = 5;

/// Starts `tooz top`; `None` without tmux.
fn top(backend: &Backend) -> Option<Terminal> {
    let program = env!("CARGO_BIN_EXE_tooz");
    let terminal = Terminal::start(&format!("'{program}' top --url '{}'", backend.url));
    if terminal.is_none() {
        eprintln!("tmux is not installed, so `tooz top` was not tested");
    }
    terminal
}

pub(super) fn changes_appear_and_a_lock_is_broken(backend: &Backend) {
    let Some(terminal) = top(backend) else { return };
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
    let (coordinator, mut guards) = runtime.block_on(hold_many(backend));
    let Some(terminal) = top(backend) else { return };
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
    terminal.press(&["Enter", "q"]);
    terminal.wait_for_end();
    drop(guards);
    runtime.block_on(coordinator.close());
}

async fn hold_many(backend: &Backend) -> (Coordinator, Vec<Guard>) {
    // Not a driver under test: it only holds.
    let url = backend.url.replace("ttl=4s", "ttl=30s");
    let coordinator = Coordinator::builder(url).timeout(Duration::from_secs(30)).connect().await.unwrap();
    let mut guards = Vec::new();
    for index in 0..MANY {
        guards.push(coordinator.lock(format!("lock-{index:04}")).acquire().await.unwrap());
    }
    (coordinator, guards)
}
