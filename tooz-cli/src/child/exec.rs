//! The step between the runner and the command: a process that prepares itself and then becomes the command.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use clap::Args;
use rustix::process::{Pid, getppid};

use super::terminal;
use crate::exit::{CANNOT_EXECUTE, Failure, NOT_FOUND, SIGNALED};
use crate::output::say;

/// Arguments of the hidden subcommand that the runner starts.
#[derive(Args, Clone, Debug)]
pub(crate) struct ExecArguments {
    /// The process id of the runner.
    #[arg(long)]
    pub(super) runner: i32,
    /// Whether the command becomes the foreground of the terminal.
    #[arg(long)]
    pub(super) foreground: bool,
    #[arg(last = true, required = true)]
    pub(super) command: Vec<OsString>,
}

/// Becomes the command. Returns only if that fails.
pub(crate) fn exec(arguments: &ExecArguments) -> ExitCode {
    die_with_parent();
    // The runner may have died before the request above took effect.
    if getppid() != Pid::from_raw(arguments.runner) {
        return (SIGNALED + 9).into();
    }
    if arguments.foreground {
        terminal::take();
    }
    let Some((program, rest)) = arguments.command.split_first() else {
        return NOT_FOUND.into();
    };
    let error = Command::new(program).args(rest).exec();
    let code = if error.kind() == ErrorKind::NotFound { NOT_FOUND } else { CANNOT_EXECUTE };
    Failure::new(code, format!("failed to execute {}: {error}", program.display())).report()
}

/// Asks the kernel to kill this process, and what it becomes, when its parent dies.
fn die_with_parent() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)) {
        say("warning", format!("the command will survive a killed tooz: {error}"));
    }
}
