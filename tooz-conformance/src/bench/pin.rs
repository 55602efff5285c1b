//! Pins server and clients to different cores. Times vary by a factor of two if the scheduler places them together.

use std::process::Command;
use std::thread::available_parallelism;

use crate::harness::{Backend, DriverUnderTest};

/// Pins this process, and the servers that it starts next, to the first core. Returns whether that succeeded.
pub(super) fn to_server_cores(subject: &DriverUnderTest) -> bool {
    let servers = matches!(subject.backend, Backend::Servers { .. });
    servers && available_parallelism().is_ok_and(|cores| cores.get() > 1) && pin("0")
}

/// Pins all threads of this process, and the children that it starts next, to the other cores.
pub(super) fn to_client_cores() -> bool {
    // The kernel ignores the cores that do not exist.
    pin("1-63")
}

fn pin(cores: &str) -> bool {
    let pid = std::process::id().to_string();
    let output = Command::new("taskset").args(["--all-tasks", "--cpu-list", "--pid", cores, &pid]).output();
    output.is_ok_and(|output| output.status.success())
}
