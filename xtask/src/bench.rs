//! Measures the drivers relative to raw clients, and draws the charts of the documentation.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use clap::Args;
use serde_json::Value;

use crate::backends::{Backend, chosen, set_up};
use crate::run::{Outcome, cargo, read, root, run};

/// What to measure.
#[derive(Args, Debug, Default)]
pub(crate) struct Options {
    /// Measure one backend only: memory, file, redis, etcd, zookeeper or postgres.
    #[arg(long)]
    backend: Option<String>,
    /// Measure one part only: pairs, hand-over, size, memory, groups, topics or scale.
    #[arg(long, conflicts_with = "charts")]
    only: Option<String>,
    /// Print the results as JSON, after the tables.
    #[arg(long)]
    json: bool,
    /// Draw the charts of docs/bench anew.
    #[arg(long)]
    charts: bool,
}

/// Measures each backend in a program of its own.
pub(crate) fn bench(options: &Options) -> Outcome {
    let backends = chosen(options.backend.as_deref())?;
    set_up(&backends)?;
    let programs = build(&backends)?;
    let (start, out) = (Instant::now(), root().join("target").join("tooz-bench"));
    fs::create_dir_all(&out)?;
    let mut results = Vec::new();
    for backend in backends {
        let program = programs.get(backend.package).ok_or("cargo has built no benchmark for this backend")?;
        results.push(measure(backend, program, &out, options)?);
    }
    println!("\nmeasured in {:.0} s; as JSON in {}", start.elapsed().as_secs_f64(), out.display());
    if options.json {
        println!("{}", serde_json::to_string_pretty(&results)?);
    }
    Ok(())
}

/// Runs the benchmark of one backend and returns its results.
fn measure(backend: &Backend, program: &Path, out: &Path, options: &Options) -> Outcome<Value> {
    let json = out.join(format!("{}.json", backend.name));
    let mut command = Command::new(program);
    command.current_dir(root().join(backend.package)).args(["--bench", "--json"]).arg(&json);
    if let Some(only) = &options.only {
        command.args(["--only", only]);
    }
    if options.charts {
        command.arg("--svg").arg(root().join("docs").join("bench").join(format!("{}.svg", backend.name)));
    }
    if std::env::var_os("TOOZ_TEST_PROVISION").is_none() && backend.programs_are_here() {
        // The benchmark can pin a program, but not a container, to another core than the clients.
        command.env("TOOZ_TEST_PROVISION", "program");
    }
    run(&mut command)?;
    Ok(serde_json::from_str(&fs::read_to_string(&json)?)?)
}

/// Builds all benchmarks with one call, since cargo rebuilds shared code for each package that it builds alone. Returns
/// their paths by package.
fn build(backends: &[&Backend]) -> Outcome<HashMap<String, PathBuf>> {
    let packages = backends.iter().flat_map(|backend| ["--package", backend.package]);
    let args = ["bench", "--bench", "floor", "--no-run", "--message-format", "json-render-diagnostics"];
    let args: Vec<_> = args.into_iter().chain(packages).collect();
    let output = read(&mut cargo(&args)?)?;
    let messages = output.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    let program = |message: &Value| {
        let package = Path::new(message["manifest_path"].as_str()?).parent()?.file_name()?.to_str()?.to_owned();
        Some((package, PathBuf::from(message["executable"].as_str()?)))
    };
    Ok(messages.iter().filter_map(program).collect())
}
