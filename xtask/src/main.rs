//! The tasks of a contributor: `cargo xtask test`, `bench`, `soak`, `book`, `ci`, `images`, `publish`, `tidy`.

mod backends;
mod bench;
mod book;
mod ci;
mod images;
mod jobs;
mod programs;
mod publish;
mod run;
mod soak;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Tasks of this repository", disable_help_subcommand = true)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Set up what is missing, run all tests, and report which backends were tested and how.
    Test(test::Options),
    /// Run clients under faults on one backend, and check the history of what they saw.
    Soak(soak::Options),
    /// Measure the drivers relative to the raw clients of their backends.
    Bench(bench::Options),
    /// Verify a change: format, tidy, lints, docs, packages, licences, test.
    Ci,
    /// Build the server images from Debian packages, for hosts without an image registry.
    Images,
    /// Build the book of docs/.
    Book,
    /// Publish the crates in the order of their dependencies.
    Publish(publish::Options),
    /// Check the rules that no compiler checks: file heads, lengths, folders, imports, words, docs.
    Tidy,
}

fn main() -> ExitCode {
    let outcome = match Args::parse().task {
        Task::Test(options) => test::test(&options),
        Task::Soak(options) => soak::soak(&options),
        Task::Bench(options) => bench::bench(&options),
        Task::Ci => ci::ci(),
        Task::Images => images::build(),
        Task::Book => book::book(),
        Task::Publish(options) => publish::publish(&options),
        Task::Tidy => tidy::tidy(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
