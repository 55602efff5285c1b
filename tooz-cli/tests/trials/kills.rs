//! The program, its runner, the command or several of them are killed or terminated. Each time the next client gets the
//! lock, and no two commands run at once.

use std::time::Duration;

use rustix::process::{Signal, kill_process};

use crate::support::program::is_alive;
use crate::support::{Backend, Beats, Program, eventually};

/// How long a holder may take on a loaded machine to notice that its lock was broken.
const NOTIFIED: Duration = Duration::from_secs(5);

/// A holder and a client that waits behind it, both with commands that record.
struct Pair {
    holder: Program,
    waiter: Program,
    first: Beats,
    second: Beats,
}

impl Pair {
    fn start(backend: &Backend, options: &[&str], prelude: &str) -> Self {
        let [first, second] = ["first", "second"].map(|name| Beats::new(backend.directory.path(), name));
        [&first, &second].into_iter().for_each(Beats::clear);
        let arguments: Vec<_> = options.iter().copied().chain(["x"]).collect();
        // The shell stays, so the beats come from a grandchild.
        let holder = backend.run(&arguments, &format!("{prelude} {}; exit 7", first.forever()));
        first.wait_for_start();
        let waiter = backend.run(&["x"], &second.during(Duration::from_millis(100)));
        backend.wait_for_clients("x", 2);
        assert_eq!(second.span(), None, "the lock is held");
        Self { holder, waiter, first, second }
    }

    /// Asserts that the waiter has got the lock and that nothing is left.
    fn finish(self, backend: &Backend) -> Option<i32> {
        self.waiter.finish().assert_code(0);
        self.first.assert_before(&self.second);
        self.first.assert_ended();
        let code = self.holder.finish().code;
        backend.assert_free("x");
        code
    }
}

pub(super) fn the_program_is_killed(backend: &Backend) {
    let pair = Pair::start(backend, &[], "");
    pair.holder.signal(Signal::KILL);
    assert_eq!(pair.finish(backend), None);
}

pub(super) fn the_command_is_killed(backend: &Backend) {
    let pair = Pair::start(backend, &[], "");
    kill_process(pair.holder.command(), Signal::KILL).unwrap();
    assert_eq!(pair.finish(backend), Some(137));
}

pub(super) fn the_program_and_the_command_are_killed(backend: &Backend) {
    let pair = Pair::start(backend, &[], "");
    let command = pair.holder.command();
    pair.holder.signal(Signal::KILL);
    // The runner may have ended it already.
    let _ = kill_process(command, Signal::KILL);
    assert_eq!(pair.finish(backend), None);
}

pub(super) fn the_runner_is_killed(backend: &Backend) {
    let pair = Pair::start(backend, &[], "");
    kill_process(pair.holder.runner(), Signal::KILL).unwrap();
    assert_eq!(pair.finish(backend), Some(76));
}

pub(super) fn the_program_is_terminated(backend: &Backend) {
    let pair = Pair::start(backend, &[], "");
    pair.holder.signal(Signal::TERM);
    assert_eq!(pair.finish(backend), Some(143));
}

pub(super) fn a_command_that_ignores_sigterm_is_killed(backend: &Backend) {
    let pair = Pair::start(backend, &["--grace", "500ms"], "trap '' TERM;");
    pair.holder.signal(Signal::TERM);
    assert_eq!(pair.finish(backend), Some(137));
    let pair = Pair::start(backend, &["--grace", "500ms"], "trap '' TERM;");
    pair.holder.signal(Signal::KILL);
    assert_eq!(pair.finish(backend), None);
}

pub(super) fn the_command_is_terminated(backend: &Backend) {
    let pair = Pair::start(backend, &[], "");
    kill_process(pair.holder.command(), Signal::TERM).unwrap();
    assert_eq!(pair.finish(backend), Some(143));
}

pub(super) fn the_program_and_the_command_are_terminated(backend: &Backend) {
    let pair = Pair::start(backend, &[], "");
    let command = pair.holder.command();
    pair.holder.signal(Signal::TERM);
    // The program may have passed it on already.
    let _ = kill_process(command, Signal::TERM);
    assert_eq!(pair.finish(backend), Some(143));
}

pub(super) fn both_processes_of_tooz_are_killed(backend: &Backend) {
    let [first, second] = ["first", "second"].map(|name| Beats::new(backend.directory.path(), name));
    // The kernel kills the command itself, so it must not be a shell with a child.
    let holder = backend.run(&["x"], &format!("exec {}", first.forever()));
    first.wait_for_start();
    let waiter = backend.run(&["x"], &second.during(Duration::from_millis(100)));
    backend.wait_for_clients("x", 2);
    let (both, command) = ([holder.id(), holder.runner()], holder.command());
    for signal in [Signal::STOP, Signal::KILL] {
        both.iter().for_each(|process| kill_process(*process, signal).unwrap());
    }
    eventually("the kernel kills the command", || !is_alive(command));
    first.assert_ended();
    waiter.finish().assert_code(0);
    first.assert_before(&second);
    backend.assert_free("x");
}

/// Each command that runs another one, ended in each way.
pub(super) fn each_command_ends_in_each_way(backend: &Backend) {
    let kinds: [(&str, &[&str]); 5] = [
        ("lock", &["run"]),
        ("lock", &["run", "--shared"]),
        ("semaphore", &["run", "--semaphore"]),
        ("election", &["lead"]),
        ("lock", &["once", "--every", "1000h"]),
    ];
    // Whether the program and the command receive the signal, and the exit code of the program.
    let ways = [
        (Signal::TERM, true, false, Some(143)),
        (Signal::TERM, false, true, Some(143)),
        (Signal::TERM, true, true, Some(143)),
        (Signal::KILL, true, false, None),
        (Signal::KILL, false, true, Some(137)),
        (Signal::KILL, true, true, None),
    ];
    for (index, (kind, command)) in kinds.into_iter().enumerate() {
        for (way, (signal, program_receives, command_receives, code)) in ways.into_iter().enumerate() {
            let name = format!("x{index}{way}");
            let argument = if kind == "semaphore" { format!("{name}:1") } else { name.clone() };
            let beats = Beats::new(backend.directory.path(), &name);
            let program = backend.start(&[command, &[&argument, "--", "sh", "-c", &beats.forever()]].concat());
            beats.wait_for_start();
            let child = program.command();
            if program_receives {
                program.signal(signal);
            }
            if command_receives {
                // The program may have ended it already.
                let _ = kill_process(child, signal);
            }
            assert_eq!(program.finish().code, code, "{command:?}: {signal:?} {program_receives} {command_receives}");
            eventually("nothing is held", || backend.tooz(&[kind, "show", &name]).code == Some(1));
            beats.assert_ended();
        }
    }
}

pub(super) fn a_command_that_is_only_warned_runs_on(backend: &Backend) {
    let beats = Beats::new(backend.directory.path(), "first");
    let script = format!("{}; exit 5", beats.during(Duration::from_secs(2)));
    let holder = backend.run(&["--on-loss", "warn", "x"], &script);
    beats.wait_for_start();
    backend.tooz(&["lock", "break", "x"]).assert_code(0);
    backend.assert_free("x");
    let finished = holder.finish().assert_code(5);
    assert!(finished.stderr.contains("the command continues"), "{}", finished.stderr);
}

pub(super) fn signals_reach_the_command(backend: &Backend) {
    let signals = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::USR1, Signal::USR2];
    for (code, signal) in (41..).zip(signals) {
        let file = backend.directory.path().join(code.to_string());
        let number = signal.as_raw();
        let script = format!("trap 'exit {code}' {number}; echo > '{}'; while :; do sleep 0.05; done", file.display());
        let program = backend.run(&["x"], &script);
        eventually("the command runs", || file.exists());
        program.signal(signal);
        program.finish().assert_code(code);
    }
    backend.assert_free("x");
}

pub(super) fn another_client_breaks_the_lock(backend: &Backend) {
    let pair = Pair::start(backend, &[], "trap '' TERM;");
    backend.tooz(&["lock", "break", "x"]).assert_code(0);
    pair.waiter.finish().assert_code(0);
    pair.holder.finish().assert_code(76);
    pair.first.assert_ended();
    let ((_, end), (start, _)) = (pair.first.span().unwrap(), pair.second.span().unwrap());
    // The backend grants a broken lock before the holder has been notified.
    assert!(end < start + NOTIFIED.as_nanos(), "the broken holder ran on for {} ms", (end - start) / 1_000_000);
    backend.assert_free("x");
}

pub(super) fn a_waiting_program_is_terminated(backend: &Backend) {
    let pair = Pair::start(backend, &[], "");
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        let waiting = backend.run(&["x"], "true");
        backend.wait_for_clients("x", 3);
        waiting.signal(signal);
        waiting.finish().assert_code(code);
    }
    let mut killed = backend.run(&["x"], "true");
    backend.wait_for_clients("x", 3);
    killed.signal(Signal::KILL);
    eventually("the waiting program is gone", || !killed.is_running());
    pair.holder.signal(Signal::TERM);
    assert_eq!(pair.finish(backend), Some(143));
}

pub(super) fn what_the_command_leaves_running_is_ended(backend: &Backend) {
    let [left, next] = ["left", "next"].map(|name| Beats::new(backend.directory.path(), name));
    let started = format!("while ! [ -s '{}' ]; do sleep 0.01; done", backend.directory.path().join("left").display());
    let background = format!("(trap '' TERM; exec {}) > /dev/null 2>&1 & {started}", left.forever());
    backend.run(&["--grace", "300ms", "x"], &background).finish().assert_code(0);
    backend.run(&["--no-wait", "x"], &next.during(Duration::from_millis(50))).finish().assert_code(0);
    left.assert_before(&next);
}
