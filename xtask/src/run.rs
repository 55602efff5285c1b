//! Runs the programs that tasks need, and prints each command line.

use std::error::Error;
use std::ffi::OsStr;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a task returns; `main` prints the error.
pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// The workspace's directory.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Cargo in the workspace, with protoc supplied.
pub(crate) fn cargo(args: &[&str]) -> Outcome<Command> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(args);
    // Cargo describes this program in these variables; a build script that reads them would run again each time.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    if std::env::var_os("PROTOC").is_none() {
        command.env("PROTOC", protoc_bin_vendored::protoc_bin_path()?);
    }
    Ok(command)
}

/// Runs a command with its output shown. Announces it on standard error, since a program may read the output.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let line = line_of(command);
    eprintln!("> {line}");
    let status = command.status().map_err(|error| format!("failed to run `{line}`: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{line}` failed ({status})").into()) }
}

/// As [`run`], but returns what the command prints on standard output.
pub(crate) fn read(command: &mut Command) -> Outcome<String> {
    let line = line_of(command);
    eprintln!("> {line}");
    let output =
        command.stderr(Stdio::inherit()).output().map_err(|error| format!("failed to run `{line}`: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout)?),
        false => Err(format!("`{line}` failed ({})", output.status).into()),
    }
}

/// Whether a command can be run and succeeds; its output is not shown.
pub(crate) fn succeeds<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Whether a program is on the PATH.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories = std::env::split_paths(&path);
    Path::new(program).is_file() || directories.any(|directory| directory.join(program).is_file())
}

/// Installs Debian packages, which needs root on Debian.
pub(crate) fn apt_install(packages: &[&str]) -> Outcome {
    if !is_installed("apt-get") || !succeeds("sh", ["-c", "test $(id -u) = 0"]) {
        return Err(format!("{} is missing, and only root on Debian can install it here", packages.join(" ")).into());
    }
    run(Command::new("apt-get").args(["update", "-qq"]))?;
    let mut install = Command::new("apt-get");
    // On a fresh machine an unattended upgrade may hold apt's lock.
    install.args(["install", "-y", "-qq", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"]).args(packages);
    // Without RUNLEVEL, packages start their services, which would occupy the default ports.
    let quiet = install.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1").stdout(Stdio::null());
    run(quiet)
}

fn line_of(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut line = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for arg in command.get_args() {
        // Writing to a String cannot fail.
        write!(line, " {}", arg.to_string_lossy()).ok();
    }
    line
}
