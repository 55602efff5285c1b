//! Measures the drivers beside their floors, and writes what the documentation shows.

use std::fs;
use std::time::Instant;

use clap::Args;
use serde_json::Value;

use crate::backends::{BACKENDS, set_up};
use crate::run::{Outcome, cargo, root, run};

/// What to measure.
#[derive(Args, Debug, Default)]
pub(crate) struct Options {
    /// Measure one backend only: memory, file, redis, etcd or zookeeper.
    #[arg(long)]
    backend: Option<String>,
    /// Measure one part only: pairs, hand-over, size, memory, groups or topics.
    #[arg(long, conflicts_with = "charts")]
    only: Option<String>,
    /// Print the outcome as JSON, after the tables.
    #[arg(long)]
    json: bool,
    /// Draw the charts of docs/bench anew.
    #[arg(long)]
    charts: bool,
}

/// Measures each backend in a program of its own.
pub(crate) fn bench(options: &Options) -> Outcome {
    let wanted = |name: &str| options.backend.as_deref().is_none_or(|backend| backend == name);
    let backends: Vec<_> = BACKENDS.iter().filter(|backend| wanted(backend.name)).collect();
    if backends.is_empty() {
        let names = BACKENDS.map(|backend| backend.name).join(", ");
        return Err(format!("there is no such backend, only {names}").into());
    }
    set_up(&backends)?;
    let packages = backends.iter().flat_map(|backend| ["--package", backend.package]);
    let build: Vec<_> = ["bench", "--bench", "floor", "--no-run"].into_iter().chain(packages).collect();
    run(&mut cargo(&build)?)?;
    let (start, out) = (Instant::now(), root().join("target").join("tooz-bench"));
    fs::create_dir_all(&out)?;
    let mut outcomes = Vec::new();
    for backend in backends {
        let json = out.join(format!("{}.json", backend.name));
        let mut command = cargo(&["bench", "--package", backend.package, "--bench", "floor", "--", "--json"])?;
        command.arg(&json);
        if let Some(only) = &options.only {
            command.args(["--only", only]);
        }
        if options.charts {
            command.arg("--svg").arg(root().join("docs").join("bench").join(format!("{}.svg", backend.name)));
        }
        if std::env::var_os("TOOZ_TEST_MEANS").is_none() && backend.programs_are_here() {
            // A program of our own can be kept on another core than the clients; a container cannot.
            command.env("TOOZ_TEST_MEANS", "program");
        }
        run(&mut command)?;
        outcomes.push(serde_json::from_str::<Value>(&fs::read_to_string(&json)?)?);
    }
    println!("\nmeasured in {:.0} s; as JSON in {}", start.elapsed().as_secs_f64(), out.display());
    if options.json {
        println!("{}", serde_json::to_string_pretty(&outcomes)?);
    }
    Ok(())
}
