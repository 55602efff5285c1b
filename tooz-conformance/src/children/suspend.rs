//! Suspends of the host, as one child process sees them.
//!
//! While a host is suspended, its processes and `CLOCK_MONOTONIC` stop; `CLOCK_BOOTTIME` and the clock of the server
//! continue. To simulate this for one child, the parent freezes it. Before the child continues, its monotonic clock is
//! set back by the time that it was frozen. A small C library, which is preloaded into the child, does that.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Failure;

const SOURCE: &str = include_str!("suspend.c");
/// The environment variable with the path of the file that the library reads.
const VARIABLE: &str = "TOOZ_SUSPENDED";

/// The compiled library. Removed when the last child that uses it is dropped.
#[derive(Debug)]
struct Library {
    path: PathBuf,
    _directory: TempDir,
}

impl Library {
    fn compiled() -> Result<Arc<Self>, Failure> {
        static LIBRARY: Mutex<Weak<Library>> = Mutex::new(Weak::new());
        let mut known = LIBRARY.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(library) = known.upgrade() {
            return Ok(library);
        }
        let library = Arc::new(Self::compile()?);
        *known = Arc::downgrade(&library);
        Ok(library)
    }

    fn compile() -> Result<Self, Failure> {
        if !cfg!(target_os = "linux") {
            return Err(Failure::ignored("only Linux lets a test suspend one process alone"));
        }
        let directory = tempfile::Builder::new().prefix("tooz-suspend-").tempdir()?;
        let (source, path) = (directory.path().join("suspend.c"), directory.path().join("suspend.so"));
        fs::write(&source, SOURCE)?;
        let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let mut compile = Command::new(&compiler);
        compile.args(["-shared", "-fPIC", "-O1", "-o"]).args([&path, &source]).stdin(Stdio::null());
        match compile.output() {
            Ok(output) if output.status.success() => Ok(Self { path, _directory: directory }),
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr).into_owned();
                Err(Failure::ignored(format!("{compiler} cannot compile the library that suspends a process: {text}")))
            }
            Err(error) => Err(Failure::ignored(format!(
                "no C compiler for the library that suspends a process: {compiler}: {error}"
            ))),
        }
    }
}

/// The monotonic clock of one child.
#[derive(Debug)]
pub(crate) struct SuspendableClock {
    library: Arc<Library>,
    offset: File,
    path: tempfile::TempPath,
    suspended: Duration,
    since: Option<Instant>,
}

impl SuspendableClock {
    /// A clock that has not been suspended yet.
    ///
    /// # Errors
    /// The trial is ignored where no child can have one.
    pub(crate) fn new() -> Result<Self, Failure> {
        let library = Library::compiled()?;
        let (offset, path) = tempfile::Builder::new().prefix("tooz-suspended-").tempfile()?.into_parts();
        let clock = Self { library, offset, path, suspended: Duration::ZERO, since: None };
        clock.write()?;
        Ok(clock)
    }

    /// The environment of the child.
    pub(super) fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [("LD_PRELOAD", self.library.path.clone()), (VARIABLE, self.path.to_path_buf())]
    }

    /// Stops the clock. The child must not run.
    pub(super) fn stop(&mut self) {
        self.since = Some(Instant::now());
    }

    /// Lets the clock continue where it has stopped.
    pub(super) fn go_on(&mut self) -> Result<(), Failure> {
        if let Some(since) = self.since.take() {
            self.suspended += since.elapsed();
            self.write()?;
        }
        Ok(())
    }

    fn write(&self) -> Result<(), Failure> {
        let nanos = i64::try_from(self.suspended.as_nanos()).unwrap_or(i64::MAX);
        Ok(self.offset.write_all_at(&nanos.to_ne_bytes(), 0)?)
    }
}
