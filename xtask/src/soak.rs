//! Long runs of clients under faults on one backend, with every history checked.

use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::json;

use crate::backends::{BACKENDS, set_up};
use crate::run::{Outcome, cargo, run};

/// What to soak, and for how long.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Which backend: memory, file, redis, etcd or zookeeper.
    #[arg(long)]
    backend: String,
    /// For how long.
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// The first run's seed; each further run takes the next. Drawn and printed if it is not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Print the summary as JSON, and nothing else, on standard output.
    #[arg(long)]
    json: bool,
}

/// Runs until the time is over; a violation is an error, and its history is printed.
pub(crate) fn soak(options: &Options) -> Outcome {
    let backend = BACKENDS.iter().find(|backend| backend.name == options.backend);
    let backend = backend.ok_or_else(|| format!("there is no backend {}", options.backend))?;
    set_up(&[backend])?;
    let drawn = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() % 1_000_000 * 1000;
    let orders = json!({ "minutes": options.minutes, "seed": options.seed.unwrap_or(drawn), "json": options.json });
    let program = if backend.name == "memory" { "memory" } else { "conformance" };
    let mut soak = cargo(&["test", "--quiet", "--package", backend.package, "--test", program])?;
    run(soak.env("TOOZ_SOAK", orders.to_string()))
}
