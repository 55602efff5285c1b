//! What a contributor does: `cargo xtask test`, `bench`, `soak`, `ci`, `images`, `tidy`.

mod backends;
mod bench;
mod ci;
mod images;
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
    /// Set up what is missing, run all tests and say which backends were tested and how.
    Test(test::Options),
    /// Let clients work on one backend while things break, and check what they saw.
    Soak(soak::Options),
    /// Measure the drivers beside the least that their clients must do.
    Bench(bench::Options),
    /// Everything that must hold before a change lands: format, lints, docs, tidy, test.
    Ci,
    /// Build the server images from Debian packages, for hosts without an image registry.
    Images,
    /// Check what no compiler checks: file heads and lengths, docs, licences.
    Tidy,
}

fn main() -> ExitCode {
    let outcome = match Args::parse().task {
        Task::Test(options) => test::test(&options),
        Task::Soak(options) => soak::soak(&options),
        Task::Bench(options) => bench::bench(&options),
        Task::Ci => ci::ci(),
        Task::Images => images::build(),
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
