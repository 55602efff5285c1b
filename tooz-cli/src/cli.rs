//! The command line.

use clap::{Parser, Subcommand};

use crate::backend::Backend;
use crate::bench::Bench;
use crate::child::ExecArguments;
use crate::commands::complete::{Completions, Manual};
use crate::commands::group::GroupCommand;
use crate::commands::lead::Lead;
use crate::commands::ls::Ls;
use crate::commands::once::Once;
use crate::commands::queue::QueueCommand;
use crate::commands::run::Run;
use crate::commands::topic::TopicCommand;
use crate::doctor::Doctor;
use crate::top::Top;

/// Locks, elections, groups and topics from a shell, over Redis, etcd, ZooKeeper, PostgreSQL or the files of one host.
#[derive(Debug, Parser)]
#[command(name = "tooz", version, propagate_version = true, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) backend: Backend,
    /// Prints JSON, for programs.
    #[arg(long, global = true, display_order = 901)]
    pub(crate) json: bool,
    /// Prints what the library reports; twice for more.
    #[arg(short, long, global = true, action = clap::ArgAction::Count, display_order = 902)]
    pub(crate) verbose: u8,
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
    Lead(Lead),
    Once(Once),
    Ls(Ls),
    /// Shows, watches or breaks a lock.
    Lock(QueueCommand),
    /// Shows, watches or breaks a semaphore.
    Semaphore(QueueCommand),
    /// Shows, watches or breaks an election.
    Election(QueueCommand),
    /// Creates, deletes, shows, joins or watches a group, or removes a member.
    Group(GroupCommand),
    /// Publishes and receives messages.
    Topic(TopicCommand),
    Top(Top),
    Doctor(Doctor),
    Bench(Bench),
    Completions(Completions),
    Manual(Manual),
    /// The last step before a command.
    #[command(hide = true)]
    Exec(ExecArguments),
}

impl Command {
    /// Whether it runs a command of the user, and therefore needs a guardian.
    pub(crate) fn runs_a_command(&self) -> bool {
        matches!(self, Self::Run(_) | Self::Lead(_) | Self::Once(_))
    }

    /// Whether it runs until a signal comes.
    pub(crate) fn stays(&self) -> bool {
        matches!(self, Self::Lead(_) | Self::Once(_) | Self::Group(_))
    }
}
