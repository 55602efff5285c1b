//! SIGTERM cancels the token of `shutdown`, also in a program without an async runtime.

#![cfg(all(unix, feature = "signal"))]

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

#[test]
fn a_program_without_a_runtime_learns_of_sigterm() {
    let shutdown = tooz::shutdown().unwrap();
    assert!(!shutdown.is_cancelled());
    assert!(Command::new("sh").args(["-c", "kill -TERM $PPID"]).status().unwrap().success());
    let start = Instant::now();
    while !shutdown.is_cancelled() {
        assert!(start.elapsed() < Duration::from_secs(60), "the token was not cancelled");
        sleep(Duration::from_millis(10));
    }
}
