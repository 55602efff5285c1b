//! `tooz lead` and `tooz once`.

use std::time::Duration;

use rustix::process::{Signal, kill_process};

use crate::support::harness::TTL;
use crate::support::program::is_alive;
use crate::support::{Backend, Beats, Program, eventually};

pub(super) fn another_leader_follows(backend: &Backend) {
    let beats = ["a", "b"].map(|name| Beats::new(backend.directory.path(), name));
    let lead = |beats: &Beats| backend.start(&["lead", "x", "--", "sh", "-c", &beats.forever()]);
    let first = lead(&beats[0]);
    beats[0].wait_for_start();
    let second = lead(&beats[1]);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(beats[1].span(), None, "there is a leader");
    first.signal(Signal::TERM);
    first.finish().assert_code(143);
    beats[1].wait_for_start();
    beats[0].assert_before(&beats[1]);
    second.signal(Signal::KILL);
    let third = Beats::new(backend.directory.path(), "c");
    backend.start(&["lead", "x", "--", "sh", "-c", &third.during(Duration::from_millis(50))]).finish().assert_code(0);
    beats[1].assert_before(&third);
}

/// A program that records each term in which it leads.
fn leader(backend: &Backend) -> (Program, impl Fn() -> Vec<u64>) {
    let log = backend.directory.path().join("terms");
    let script = format!("echo $TOOZ_FENCING_TOKEN >> '{}'; sleep 300", log.display());
    let program = backend.start(&["lead", "x", "--", "sh", "-c", &script]);
    let terms = move || -> Vec<u64> {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.lines().map(|line| line.parse().unwrap()).collect()
    };
    eventually("it leads", || terms().len() == 1);
    (program, terms)
}

pub(super) fn a_deposed_leader_leads_again(backend: &Backend) {
    let (program, terms) = leader(backend);
    let command = program.command();
    backend.tooz(&["election", "break", "x"]).assert_code(0);
    eventually("it leads again", || terms().len() == 2);
    assert!(terms()[0] < terms()[1]);
    assert!(!is_alive(command), "the command of the first term is gone");
    kill_process(program.command(), Signal::KILL).unwrap();
    program.finish().assert_code(137);
}

pub(super) fn the_command_decides_what_a_signal_means(backend: &Backend) {
    for command in [&["run", "x"][..], &["lead", "x"], &["once", "x", "--every", "1000h"]] {
        let file = backend.directory.path().join(command[0]);
        let script = format!("trap 'exit 5' TERM; echo > '{}'; while :; do sleep 0.05; done", file.display());
        let program = backend.start(&[command, &["--", "sh", "-c", &script]].concat());
        eventually("the command runs", || file.exists());
        program.signal(Signal::TERM);
        program.finish().assert_code(5);
    }
}

pub(super) fn a_leader_behind_a_frozen_server_leads_again(backend: &Backend) {
    let (program, terms) = leader(backend);
    let command = program.command();
    backend.freeze();
    eventually("the command is ended", || !is_alive(command));
    // Beyond the time at which the session is over.
    std::thread::sleep(TTL);
    backend.thaw();
    eventually("it leads again", || terms().len() == 2);
    program.signal(Signal::TERM);
    program.finish().assert_code(143);
}

pub(super) fn a_killed_service_leaves_nothing_held_and_nothing_running(backend: &Backend) {
    for (kind, command) in [("election", &["lead", "x"][..]), ("lock", &["once", "x", "--every", "1000h"])] {
        let beats = Beats::new(backend.directory.path(), kind);
        let program = backend.start(&[command, &["--", "sh", "-c", &beats.forever()]].concat());
        beats.wait_for_start();
        program.signal(Signal::KILL);
        eventually("nothing is held", || backend.tooz(&[kind, "show", "x"]).code == Some(1));
        beats.assert_ended();
    }
}

pub(super) fn a_period_has_one_run(backend: &Backend) {
    let log = backend.directory.path().join("runs");
    let script = format!("echo ran >> '{}'; exit 4", log.display());
    let once = |more: &[&str]| {
        backend.start(&[&["once", "report", "--every", "1000h"], more, &["--", "sh", "-c", &script]].concat())
    };
    let codes: Vec<_> = [once(&[]), once(&[])].map(|program| program.finish().code).into();
    assert!(codes.contains(&Some(4)) && codes.contains(&Some(0)), "{codes:?}");
    once(&["-E", "9"]).finish().assert_code(9);
    assert_eq!(std::fs::read_to_string(&log).unwrap().lines().count(), 1);
}

pub(super) fn each_period_has_a_run(backend: &Backend) {
    let log = backend.directory.path().join("runs");
    let script = format!("echo ran >> '{}'", log.display());
    let program = backend.start(&["once", "report", "--every", "1s", "--repeat", "--", "sh", "-c", &script]);
    let runs = || std::fs::read_to_string(&log).unwrap_or_default().lines().count();
    eventually("it ran three times", || runs() >= 3);
    program.signal(Signal::TERM);
    program.finish().assert_code(143);
}
