//! The command line.

use clap::{Parser, Subcommand};

use crate::backend::Backend;
use crate::child::ExecArguments;
use crate::commands::run::Run;

/// Locks, elections, groups and topics from a shell, over Redis, etcd, ZooKeeper or the files of one host.
#[derive(Debug, Parser)]
#[command(name = "tooz", version, propagate_version = true, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) backend: Backend,
    /// Prints JSON, for programs.
    #[arg(long, global = true, display_order = 901)]
    pub(crate) json: bool,
    /// Says that this process is the runner of a command.
    #[arg(long, hide = true)]
    pub(crate) runner: bool,
    /// Says that the command gets the terminal.
    #[arg(long, hide = true)]
    pub(crate) foreground: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(Run),
    /// The last step before a command.
    #[command(hide = true)]
    Exec(ExecArguments),
}

impl Command {
    /// Whether it runs a command of the user, and therefore needs a guardian.
    pub(crate) fn runs_a_command(&self) -> bool {
        matches!(self, Self::Run(_))
    }
}
