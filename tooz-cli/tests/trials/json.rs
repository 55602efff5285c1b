//! With `--json`, each command prints JSON on standard output, and messages as JSON on standard error. No output that is
//! not a terminal has colours.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value as Json;

use crate::support::program::Finished;
use crate::support::{Backend, Beats, eventually};

/// The lines of standard output, each of them JSON.
fn lines(finished: &Finished) -> Vec<Json> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    finished.stderr.lines().for_each(|line| drop(parse(line)));
    finished.stdout.lines().map(parse).collect()
}

/// What a command prints with `--json`, on one line.
fn json(backend: &Backend, arguments: &[&str], code: i32) -> Json {
    let finished = backend.tooz(&[arguments, &["--json"]].concat()).assert_code(code);
    let [line]: [Json; 1] = lines(&finished).try_into().unwrap_or_else(|lines| panic!("{arguments:?}: {lines:?}"));
    line
}

pub(super) fn each_command_prints_json(backend: &Backend) {
    for kind in ["lock", "semaphore", "election"] {
        assert_eq!(json(backend, &[kind, "show", "x"], 1)["holders"], Json::Array(Vec::new()));
        assert_eq!(json(backend, &[kind, "break", "x"], 1)["kind"], kind);
    }
    assert_eq!(json(backend, &["ls"], 0), Json::Array(Vec::new()));
    json(backend, &["group", "create", "g"], 0);
    assert_eq!(json(backend, &["group", "show", "g"], 1), Json::Array(Vec::new()));
    json(backend, &["group", "delete", "g"], 0);
    assert!(json(backend, &["topic", "publish", "t", "text"], 0)["offset"].is_u64());
    assert_eq!(json(backend, &["topic", "subscribe", "t", "--earliest", "--count", "1"], 0)["text"], "text");
    assert_eq!(json(backend, &["topic", "show", "t"], 0)["name"], "t");
    assert!(json(backend, &["doctor"], 0).as_array().is_some_and(|checks| checks.len() > 5));
    assert_eq!(json(backend, &["bench", "--time", "50ms"], 0).as_array().map(Vec::len), Some(3));
}

pub(super) fn watches_print_a_line_of_json_for_each_change(backend: &Backend) {
    let member = backend.start(&["group", "join", "g", "--json"]);
    eventually("it is a member", || backend.tooz(&["group", "show", "g"]).code == Some(0));
    let watches = [&["group", "watch", "g", "--json"][..], &["lock", "watch", "x", "--json"]];
    let watches = watches.map(|arguments| backend.start(arguments));
    std::thread::sleep(Duration::from_secs(1));
    let printed = watches.map(|watch| {
        watch.signal(Signal::INT);
        lines(&watch.finish().assert_code(130))
    });
    assert_eq!(printed[0][0]["event"], "joined", "{printed:?}");
    assert_eq!(printed[1][0]["name"], "x", "{printed:?}");
    member.signal(Signal::INT);
    assert_eq!(lines(&member.finish().assert_code(130))[0]["event"], "joined");
}

pub(super) fn a_loss_is_reported_as_json(backend: &Backend) {
    let beats = Beats::new(backend.directory.path(), "holder");
    let holder = backend.run(&["x", "--json"], &beats.forever());
    beats.wait_for_start();
    backend.tooz(&["lock", "break", "x"]).assert_code(0);
    let finished = holder.finish().assert_code(76);
    let message: Json = serde_json::from_str(finished.stderr.lines().next().unwrap()).unwrap();
    assert_eq!(message["event"], "lost", "{message}");
    lines(&finished);
}

pub(super) fn an_output_that_is_not_a_terminal_has_no_colours(backend: &Backend) {
    let commands: [&[&str]; 6] = [
        &["ls"],
        &["doctor", "--verbose", "--verbose"],
        &["lock", "show", "x"],
        &["bench", "--time", "50ms"],
        &["help"],
        &["run", "--no-such-option"],
    ];
    for command in commands {
        let finished = backend.tooz(command);
        assert!(!(finished.stdout + &finished.stderr).contains('\x1b'), "{command:?}");
    }
}
