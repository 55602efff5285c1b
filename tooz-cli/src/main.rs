//! The program `tooz`: locks, elections, groups and topics from a shell.
//!
//! `cli` is the command line, `commands` has one file a command, `child` runs a command under a lock, `backend` chooses
//! the backend, and `exit` has the exit codes.

mod arguments;
mod backend;
mod child;
mod cli;
mod commands;
mod exit;

use std::process::ExitCode;

use clap::Parser;

use self::cli::{Cli, Command};
use self::exit::{Failure, INTERNAL, Result};

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::Exec(arguments) = &cli.command {
        return child::exec(arguments);
    }
    // One thread: a command is started by the thread that lives as long as the process, because the kernel kills the
    // command when the thread that started it ends.
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(&cli)),
        Err(error) => Failure::new(INTERNAL, format!("failed to start: {error}")).report(),
    }
}

async fn run(cli: &Cli) -> ExitCode {
    if cli.command.runs_a_command() && !cli.runner {
        return child::guard().await;
    }
    match perform(cli).await {
        Ok(code) => code.into(),
        Err(failure) => failure.report(),
    }
}

async fn perform(cli: &Cli) -> Result<u8> {
    match &cli.command {
        Command::Run(run) => run.run(&cli.backend, cli.foreground).await,
        Command::Exec(_) => Ok(INTERNAL),
    }
}
