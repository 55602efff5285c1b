//! The program `tooz`: locks, elections, groups and topics from a shell.
//!
//! `cli` is the command line, and `commands` has one file a command; `doctor`, `top` and `bench` have folders of their own.
//! `child` runs a command under a lock, `inspect` reads the backend, `output` prints tables and JSON, `backend` chooses
//! the backend, and `exit` has the exit codes.
#![expect(clippy::future_not_send, reason = "one thread runs everything, see `main`")]

mod arguments;
mod backend;
mod bench;
mod child;
mod cli;
mod commands;
mod doctor;
mod exit;
mod inspect;
mod output;
mod top;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use tracing::Level;

use self::cli::{Cli, Command};
use self::exit::{Failure, INTERNAL, Result};
use self::inspect::Kind;
use self::output::{EventWriter, Printer, messages_as_json};

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.json {
        messages_as_json();
    }
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
    report_events(cli);
    match perform(cli).await {
        Ok(code) => code.into(),
        Err(failure) => failure.report(),
    }
}

async fn perform(cli: &Cli) -> Result<u8> {
    let (backend, printer, foreground) = (&cli.backend, Printer::new(cli.json), cli.foreground);
    match &cli.command {
        Command::Run(run) => run.run(backend, foreground).await,
        Command::Lead(lead) => lead.run(backend, foreground).await,
        Command::Once(once) => once.run(backend, foreground).await,
        Command::Ls(ls) => ls.run(backend, printer).await,
        Command::Lock(command) => command.run(Kind::Lock, backend, printer).await,
        Command::Semaphore(command) => command.run(Kind::Semaphore, backend, printer).await,
        Command::Election(command) => command.run(Kind::Election, backend, printer).await,
        Command::Group(command) => command.run(backend, printer).await,
        Command::Topic(command) => command.run(backend, printer).await,
        Command::Top(top) => top.run(backend).await,
        Command::Doctor(doctor) => doctor.run(backend, printer).await,
        Command::Bench(bench) => bench.run(backend, printer).await,
        Command::Completions(completions) => completions.print(Cli::command(), printer),
        Command::Manual(manual) => manual.write(Cli::command()),
        Command::Exec(_) => Ok(INTERNAL),
    }
}

/// Prints what the library reports on standard error. The view of `top` has the whole terminal.
fn report_events(cli: &Cli) {
    let level = match cli.verbose {
        // A program that stays reports what happens to it; the others report it by their exit code.
        0 if cli.command.stays() => Level::WARN,
        0 => Level::ERROR,
        1 => Level::INFO,
        _ => Level::DEBUG,
    };
    if !matches!(cli.command, Command::Top(_)) {
        let format = tracing_subscriber::fmt().with_writer(|| EventWriter).with_max_level(level);
        format.without_time().with_target(false).with_ansi(!cli.json && std::io::stderr().is_terminal()).init();
    }
}
