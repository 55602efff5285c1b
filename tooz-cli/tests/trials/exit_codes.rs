//! The exit codes of `tooz run`, and what the command sees.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use crate::support::program::{Finished, tooz};
use crate::support::{Backend, Beats, Program};

pub(super) fn the_exit_code_is_the_commands(backend: &Backend) {
    backend.run(&["x"], "exit 7").finish().assert_code(7);
    backend.run(&["x"], "kill -TERM $$").finish().assert_code(143);
    backend.tooz(&["run", "x", "--", "/no/such/program"]).assert_code(127);
    backend.tooz(&["run", "x", "--", "/etc/passwd"]).assert_code(126);
    backend.tooz(&["run"]).assert_code(2);
    backend.assert_free("x");
}

pub(super) fn a_backend_that_is_away_is_unavailable(backend: &Backend) {
    let url = format!("{}&timeout=1s", backend.at("127.0.0.1:1"));
    for arguments in [&["run", "x", "--", "true"][..], &["lead", "x", "--", "true"], &["ls"], &["lock", "show", "x"]] {
        let finished = Program::start(&url, arguments).finish().assert_code(69);
        assert!(finished.stderr.contains("127.0.0.1:1"), "{}", finished.stderr);
    }
}

pub(super) fn a_lock_that_is_not_free_is_a_conflict(backend: &Backend) {
    let beats = Beats::new(backend.directory.path(), "holder");
    let _holder = backend.run(&["x"], &beats.forever());
    beats.wait_for_start();
    backend.run(&["--no-wait", "x"], "true").finish().assert_code(75);
    backend.run(&["--no-wait", "-E", "9", "x"], "true").finish().assert_code(9);
    backend.run(&["--wait", "200ms", "x"], "true").finish().assert_code(75);
    backend.run(&["--no-wait", "--shared", "x"], "true").finish().assert_code(75);
    backend.assert_free("y");
}

pub(super) fn shared_holders_and_permits_count(backend: &Backend) {
    let beats = Beats::new(backend.directory.path(), "reader");
    let _reader = backend.run(&["--shared", "x"], &beats.forever());
    beats.wait_for_start();
    backend.run(&["--no-wait", "--shared", "x"], "true").finish().assert_code(0);
    backend.run(&["--no-wait", "x"], "true").finish().assert_code(75);

    let holders = ["first", "second"].map(|name| Beats::new(backend.directory.path(), name));
    let run = |script: &str| backend.start(&["run", "--no-wait", "--semaphore", "w:2", "--", "sh", "-c", script]);
    let _running = holders.each_ref().map(|beats| {
        let program = run(&beats.forever());
        beats.wait_for_start();
        program
    });
    run("true").finish().assert_code(75);
}

pub(super) fn the_token_rises(backend: &Backend) {
    let token = || -> u64 {
        let printed = backend.run(&["x"], "echo $TOOZ_FENCING_TOKEN").finish().assert_code(0).stdout;
        printed.trim().parse().unwrap()
    };
    let first = token();
    assert!(token() > first);
}

pub(super) fn standard_input_and_output_pass_through(backend: &Backend) {
    let mut command = tooz(&backend.url);
    let mut child = command.args(["run", "x", "--", "cat"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"through\n").unwrap();
    let finished = Finished::from(child.wait_with_output().unwrap()).assert_code(0);
    assert_eq!(finished.stdout, "through\n");
    let finished = backend.run(&["x"], &Beats::new(backend.directory.path(), "b").during(Duration::from_millis(50)));
    assert_eq!(finished.finish().assert_code(0).stdout, "");
}
