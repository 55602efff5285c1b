//! Server and clients on different cores: where the scheduler puts them together, times double by chance.

use std::process::Command;
use std::thread::available_parallelism;

use crate::harness::{Backend, DriverUnderTest};

/// Moves us, and so the servers that we start, to the first core. Says whether that was possible.
pub(super) fn to_server_cores(subject: &DriverUnderTest) -> bool {
    let servers = matches!(subject.backend, Backend::Servers { .. });
    servers && available_parallelism().is_ok_and(|cores| cores.get() > 1) && pin("0")
}

/// Moves all our threads, and so our children, to the other cores.
pub(super) fn to_client_cores() -> bool {
    // More than we have: the kernel takes those that exist.
    pin("1-63")
}

fn pin(cores: &str) -> bool {
    let pid = std::process::id().to_string();
    let output = Command::new("taskset").args(["--all-tasks", "--cpu-list", "--pid", cores, &pid]).output();
    output.is_ok_and(|output| output.status.success())
}
