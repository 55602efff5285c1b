//! The session is lost: the command is gone before another client gets the lock.

use std::time::Duration;

use rustix::process::{Signal, kill_process};
use tooz_conformance::proxy::Direction;

use crate::support::program::is_alive;
use crate::support::{Backend, Beats, Program, eventually};

pub(super) fn a_frozen_runner_holds_nothing(backend: &Backend) {
    let [first, second] = ["first", "second"].map(|name| Beats::new(backend.directory.path(), name));
    let holder = backend.run(&["x"], &format!("trap '' TERM; {}; true", first.forever()));
    first.wait_for_start();
    let waiter = backend.run(&["x"], &second.during(Duration::from_millis(100)));
    let runner = holder.runner();
    kill_process(runner, Signal::STOP).unwrap();
    waiter.finish().assert_code(0);
    first.assert_before(&second);
    kill_process(runner, Signal::CONT).unwrap();
    holder.finish().assert_code(76);
    backend.assert_free("x");
}

/// The server expires the session of a client that it no longer hears, and the client must have ended its command before.
pub(super) fn a_holder_that_is_cut_off_ends_its_command_before_the_next_grant(backend: &Backend) {
    for (kind, name) in [("run", "x"), ("lead", "y")] {
        let [first, second] = [0, 1].map(|index| Beats::new(backend.directory.path(), &format!("{kind}-{index}")));
        let (proxy, url) = backend.behind_proxy();
        let script = format!("trap '' TERM; {}; true", first.forever());
        let holder = Program::start(&url, [kind, name, "--", "sh", "-c", &script]);
        first.wait_for_start();
        let next = backend.start(&[kind, name, "--", "sh", "-c", &second.during(Duration::from_millis(100))]);
        // It must wait before its rival is cut off.
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(second.span(), None, "{kind}: the first one holds");
        proxy.black_hole(Direction::Both);
        next.finish().assert_code(0);
        first.assert_before(&second);
        first.assert_ended();
        proxy.refuse();
        holder.signal(Signal::TERM);
        let code = holder.finish().code;
        assert!(code == Some(76) || kind == "lead" && code == Some(143), "{kind}: {code:?}");
    }
}

pub(super) fn a_frozen_server_ends_the_command(backend: &Backend) {
    freeze(backend, "");
}

/// SIGTERM comes before the deadline, unless `--on-loss kill` leaves it out.
pub(super) fn a_frozen_server_ends_each_kind_of_command(backend: &Backend) {
    let commands: [(&str, &[&str]); 4] = [
        ("term", &["run", "--shared", "a"]),
        ("kill", &["run", "--on-loss", "kill", "b"]),
        ("term", &["run", "--semaphore", "c:2"]),
        ("term", &["once", "d", "--every", "1000h"]),
    ];
    let started = commands.map(|(on_loss, command)| {
        let file = |what: &str| backend.directory.path().join(format!("{}-{what}", command.concat().replace(':', "")));
        let (started, warned) = (file("started"), file("warned"));
        let trap = format!("trap 'echo > \"{}\"; exit 3' TERM", warned.display());
        let script = format!("{trap}; echo > '{}'; while :; do sleep 0.05; done", started.display());
        let program = backend.start(&[command, &["--", "sh", "-c", &script]].concat());
        eventually("the command runs", || started.exists());
        (program.command(), program, warned, on_loss)
    });
    backend.freeze();
    let ended = started.map(|(command, program, warned, on_loss)| (command, program.finish(), warned, on_loss));
    backend.thaw();
    for (command, finished, warned, on_loss) in ended {
        finished.assert_code(76);
        assert!(!is_alive(command), "the command is gone");
        assert_eq!(warned.exists(), on_loss == "term", "SIGTERM to a command with --on-loss {on_loss}");
    }
}

pub(super) fn a_frozen_server_is_unavailable(backend: &Backend) {
    let url = format!("{}&timeout=1s", backend.url);
    let commands: [&[&str]; 8] = [
        &["run", "x", "--", "true"],
        &["lead", "x", "--", "true"],
        &["once", "x", "--every", "1h", "--", "true"],
        &["ls"],
        &["lock", "break", "x"],
        &["topic", "publish", "t", "text"],
        &["doctor"],
        &["bench"],
    ];
    let waiting = backend.run(&["y"], "sleep 100");
    backend.wait_for_clients("y", 1);
    let interrupted = backend.run(&["y"], "true");
    backend.wait_for_clients("y", 2);
    backend.freeze();
    let started = commands.map(|command| Program::start(&url, command));
    interrupted.signal(Signal::INT);
    let codes = started.map(|program| program.finish().code);
    let interrupted = interrupted.finish().code;
    let waiting = waiting.finish().code;
    backend.thaw();
    assert_eq!(codes, [Some(69); 8]);
    assert_eq!((waiting, interrupted), (Some(76), Some(130)));
}

pub(super) fn a_command_that_ignores_sigterm_is_gone_before_the_next_grant(backend: &Backend) {
    freeze(backend, "trap '' TERM;");
}

fn freeze(backend: &Backend, prelude: &str) {
    let [first, second] = ["first", "second"].map(|name| Beats::new(backend.directory.path(), name));
    let holder = backend.run(&["x"], &format!("{prelude} {}; true", first.forever()));
    first.wait_for_start();
    backend.freeze();
    let finished = holder.finish();
    backend.thaw();
    finished.assert_code(76);
    first.assert_ended();
    // The first attempts may meet a server that is not ready yet.
    let next = backend.run(&["x"], &second.during(Duration::from_millis(100)));
    next.finish().assert_code(0);
    first.assert_before(&second);
}
