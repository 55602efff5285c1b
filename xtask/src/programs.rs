//! Builds the test programs of packages.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::jobs::Job;
use crate::run::{Outcome, cargo, read};

/// A test program that cargo built.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    package: String,
    target: String,
    directory: PathBuf,
    executable: PathBuf,
}

impl Program {
    /// Whether this is the program of the test `target` of `package`.
    pub(crate) fn is(&self, package: &str, target: &str) -> bool {
        self.package == package && self.target == target
    }

    /// Runs the program as cargo would, with these arguments.
    pub(crate) fn job(&self, args: &[&str]) -> Job {
        let mut command = Command::new(&self.executable);
        command.current_dir(&self.directory).args(args).env("CARGO_MANIFEST_DIR", &self.directory);
        let name = [&self.package, &self.target].into_iter().map(String::as_str).chain(args.iter().copied());
        Job { name: name.collect::<Vec<_>>().join(" "), command }
    }
}

/// Builds the test programs that `cargo test` with these arguments would run, without the tests in docs.
pub(crate) fn build(args: &[&str]) -> Outcome<Vec<Program>> {
    let build = ["test", "--no-run", "--message-format", "json-render-diagnostics"];
    let messages = read(&mut cargo(&[&build, args].concat())?)?;
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(messages.filter_map(|message| program(&message)).collect())
}

fn program(message: &Value) -> Option<Program> {
    message["profile"]["test"].as_bool().filter(|test| *test)?;
    let executable = PathBuf::from(message["executable"].as_str()?);
    let mut directory = PathBuf::from(message["manifest_path"].as_str()?);
    directory.pop();
    let package = directory.file_name()?.to_str()?.to_owned();
    Some(Program { package, target: message["target"]["name"].as_str()?.to_owned(), directory, executable })
}
