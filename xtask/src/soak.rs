//! Runs clients under faults on one backend for a long time and checks every history.

use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::json;

use crate::backends::{chosen, set_up};
use crate::run::{Outcome, cargo, run};

/// The backend and the duration.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// The backend: memory, file, redis, etcd, zookeeper or postgres.
    #[arg(long)]
    backend: String,
    /// How many minutes to run.
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// The seed of the first run; each further run takes the next number. Random and printed if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Print only the summary, as JSON, on standard output.
    #[arg(long)]
    json: bool,
}

/// Runs until the time is over. A violation is an error, and its history is printed.
pub(crate) fn soak(options: &Options) -> Outcome {
    let backends = chosen(Some(&options.backend))?;
    set_up(&backends)?;
    let random = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() % 1_000_000 * 1000;
    let instructions =
        json!({ "minutes": options.minutes, "seed": options.seed.unwrap_or(random), "json": options.json });
    for backend in backends {
        let program = if backend.name == "memory" { "memory" } else { "conformance" };
        let mut soak = cargo(&["test", "--quiet", "--package", backend.package, "--test", program])?;
        run(soak.env("TOOZ_SOAK", instructions.to_string()))?;
    }
    Ok(())
}
