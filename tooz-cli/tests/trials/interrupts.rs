//! Ctrl-C ends every command in order, and nothing of it is left in the backend.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Backend, Beats, Program, eventually};

/// How long after its start a command is interrupted. It connects, works, or has ended by then.
const DELAYS: [u64; 5] = [0, 30, 100, 300, 1000];

/// Asserts that nothing is in use but what `tooz bench` says that it leaves.
fn assert_empty(backend: &Backend, after: &str) {
    let listed = backend.tooz(&["ls", "lock", "semaphore", "election", "group", "--json"]).assert_code(0).stdout;
    assert_eq!(listed, "[]\n", "after {after}");
}

/// Interrupts a command, which ends by the signal, or ended before.
fn interrupt(program: Program, after: &str) {
    program.signal(Signal::INT);
    let finished = program.finish();
    // Before its first instructions, the system itself ends it.
    assert!(matches!(finished.code, Some(0 | 130) | None), "{after}: {finished:?}");
}

pub(super) fn short_commands_leave_nothing(backend: &Backend) {
    let commands: [&[&str]; 6] = [
        &["doctor"],
        &["bench", "--time", "10s", "--clients", "3"],
        &["ls"],
        &["lock", "watch", "x"],
        &["group", "join", "g"],
        &["topic", "subscribe", "t"],
    ];
    for command in commands {
        for delay in DELAYS {
            let program = backend.start(command);
            std::thread::sleep(Duration::from_millis(delay));
            let after = format!("{command:?} for {delay} ms");
            interrupt(program, &after);
            // A group outlives its members.
            backend.tooz(&["group", "delete", "g"]);
            assert_empty(backend, &after);
        }
    }
}

/// Its group outlives its session, so `tooz doctor` deletes it. The delay makes each moment as long as the pauses between
/// the interrupts.
pub(super) fn a_slow_doctor_leaves_no_group(backend: &Backend) {
    let (proxy, url) = backend.behind_proxy();
    proxy.delay(Duration::from_millis(100));
    let url = url.replace("ttl=4s", "ttl=30s");
    let moments = (2000..9000).step_by(400);
    let running = moments.map(|delay| (delay, Program::start(&url, ["doctor"]), Instant::now()));
    for (delay, program, started) in running.collect::<Vec<_>>() {
        std::thread::sleep(Duration::from_millis(delay).saturating_sub(started.elapsed()));
        program.signal(Signal::INT);
        // It may have ended before.
        program.finish();
    }
    assert_empty(backend, "tooz doctor");
}

pub(super) fn commands_under_a_lock_leave_nothing(backend: &Backend) {
    let commands: [&[&str]; 4] =
        [&["run", "x"], &["run", "--semaphore", "x:2"], &["lead", "x"], &["once", "x", "--every", "1000h"]];
    for command in commands {
        let beats = Beats::new(backend.directory.path(), &command.concat().replace(':', ""));
        let program = backend.start(&[command, &["--", "sh", "-c", &beats.forever()]].concat());
        beats.wait_for_start();
        interrupt(program, &format!("{command:?}"));
        beats.assert_ended();
        eventually("nothing is held", || {
            backend.tooz(&["ls", "--json", "lock", "semaphore", "election"]).stdout == "[]\n"
        });
    }
}
