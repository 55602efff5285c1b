//! The commands that show and change locks, elections, groups and topics.

use std::io::Write;
use std::process::Stdio;

use rustix::process::Signal;

use crate::support::program::{Finished, tooz};
use crate::support::{Backend, Beats, Program, eventually};

/// A command that holds `x`.
fn holder(backend: &Backend, command: &[&str]) -> Program {
    let beats = Beats::new(backend.directory.path(), &command.concat().replace('/', ""));
    let script = beats.forever();
    let program = backend.start(&[command, &["--", "sh", "-c", &script]].concat());
    beats.wait_for_start();
    program
}

pub(super) fn queues_are_shown_and_broken(backend: &Backend) {
    for (kind, command) in
        [("lock", &["run", "x"][..]), ("semaphore", &["run", "--semaphore", "x:1"]), ("election", &["lead", "x"])]
    {
        backend.tooz(&[kind, "show", "x"]).assert_code(1);
        backend.tooz(&[kind, "break", "x"]).assert_code(1);
        let held = holder(backend, command);
        let shown = backend.tooz(&[kind, "show", "x", "--json"]).assert_code(0).stdout;
        assert!(shown.contains(r#""waiters":[]"#) && shown.contains(r#""token":"#), "{shown}");
        let listed = backend.tooz(&["ls", kind]).assert_code(0).stdout;
        assert!(listed.contains(kind) && listed.lines().count() == 2, "{listed}");
        backend.tooz(&[kind, "break", "x"]).assert_code(0);
        if kind == "election" {
            held.signal(Signal::TERM);
            held.finish();
        } else {
            held.finish().assert_code(76);
        }
        eventually("nothing is held", || backend.tooz(&[kind, "show", "x"]).code == Some(1));
    }
}

pub(super) fn a_watch_reports_each_change(backend: &Backend) {
    let watch = backend.start(&["lock", "watch", "x", "--json"]);
    std::thread::sleep(std::time::Duration::from_secs(1));
    backend.run(&["x"], "sleep 0.3").finish().assert_code(0);
    std::thread::sleep(std::time::Duration::from_millis(500));
    watch.signal(Signal::INT);
    let printed = watch.finish().assert_code(130).stdout;
    let states: Vec<_> = printed.lines().map(|line| line.contains(r#""holders":[]"#)).collect();
    assert_eq!(states, [true, false, true], "{printed}");
}

pub(super) fn groups_have_members(backend: &Backend) {
    backend.tooz(&["group", "show", "g"]).assert_code(1);
    backend.tooz(&["group", "create", "g"]).assert_code(0);
    backend.tooz(&["group", "create", "g"]).assert_code(1);
    let watch = backend.start(&["group", "watch", "g", "--json"]);
    let member = backend.start(&["group", "join", "g", "--capability", "weight=2"]);
    eventually("it is a member", || backend.tooz(&["group", "show", "g"]).code == Some(0));
    let shown = backend.tooz(&["group", "show", "g", "--json"]).assert_code(0).stdout;
    assert!(shown.contains(r#""capabilities":{"weight":2}"#), "{shown}");
    backend.tooz(&["group", "delete", "g"]).assert_code(1);
    assert!(backend.tooz(&["ls"]).assert_code(0).stdout.contains("group"));
    member.signal(Signal::TERM);
    member.finish().assert_code(143);
    backend.tooz(&["group", "delete", "g"]).assert_code(0);
    watch.finish().assert_code(1);
}

pub(super) fn messages_are_received_in_order(backend: &Backend) {
    backend.tooz(&["topic", "show", "t"]).assert_code(1);
    backend.tooz(&["topic", "publish", "t", "first"]).assert_code(0);
    let mut command = tooz(&backend.url);
    let mut child = command.args(["topic", "publish", "t"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"second\nthird\n").unwrap();
    Finished::from(child.wait_with_output().unwrap()).assert_code(0);
    let received = backend.tooz(&["topic", "subscribe", "t", "--earliest", "--count", "3"]).assert_code(0).stdout;
    assert_eq!(received, "first\nsecond\nthird\n");
    backend.tooz(&["topic", "show", "t"]).assert_code(0);
    assert!(backend.tooz(&["ls", "topic"]).assert_code(0).stdout.contains("newest message"));
}

pub(super) fn the_doctor_finds_nothing_broken(backend: &Backend) {
    let report = backend.tooz(&["doctor"]).assert_code(0).stdout;
    for subject in ["connect", "round trips", "session", "locks", "elections", "groups", "guarantee: crashes"] {
        assert!(report.contains(subject), "{report}");
    }
    assert!(!report.contains("FAIL") && !report.contains("not examined"), "{report}");
    if backend.url.starts_with("postgres") {
        let settings = ["max_connections", "fsync on, synchronous_commit on", "standbys", "timeouts", "GRANT USAGE"];
        settings.iter().for_each(|setting| assert!(report.contains(setting), "{report}"));
        assert!(!report.contains("PgBouncer"), "{report}");
        the_doctor_shows_the_sql_for_a_restricted_user(backend);
    }
    assert!(backend.tooz(&["doctor", "--json"]).assert_code(0).stdout.starts_with("[{"));
    let listed = backend.tooz(&["ls", "--json"]).assert_code(0).stdout;
    assert_eq!(listed, "[]\n", "the doctor leaves nothing behind");
}

/// The user has a role on the server, but may not create the schema.
fn the_doctor_shows_the_sql_for_a_restricted_user(backend: &Backend) {
    let server = backend.url.split('?').next().unwrap();
    let creates_role = async {
        let (client, connection) = tokio_postgres::connect(server, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("CREATE ROLE restricted LOGIN").await.unwrap();
    };
    tokio::runtime::Runtime::new().unwrap().block_on(creates_role);
    let url = backend.url.replace("postgres@", "restricted@") + "&schema=apart";
    let finished = Program::start(&url, ["doctor"]).finish().assert_code(69);
    for text in [finished.stdout, finished.stderr] {
        assert!(text.contains("run: CREATE SCHEMA") && text.contains("AUTHORIZATION restricted;"), "{text}");
    }
}

pub(super) fn the_benchmark_has_three_figures(backend: &Backend) {
    let report = backend.tooz(&["bench", "--time", "300ms", "--clients", "4"]).assert_code(0).stdout;
    assert_eq!(report.lines().count(), 4, "{report}");
    backend.tooz(&["bench", "--time", "2m"]).assert_code(2);
    let listed = backend.tooz(&["ls", "lock"]).assert_code(0).stdout;
    assert_eq!(listed.lines().count(), 1, "{listed}");
}
