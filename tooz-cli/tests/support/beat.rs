//! A command that records when it ran: the test program itself, started as `PROGRAM beat FILE`.
//!
//! It appends the time to the file every few milliseconds, so that a test can compare when two commands ran, even if
//! both were killed.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::program::eventually;

const INTERVAL: Duration = Duration::from_millis(5);

/// The record of a command.
#[derive(Clone, Debug)]
pub(crate) struct Beats(PathBuf);

impl Beats {
    pub(crate) fn new(directory: &Path, name: &str) -> Self {
        Self(directory.join(name))
    }

    /// The shell command that records until it is killed.
    pub(crate) fn forever(&self) -> String {
        format!("'{}' beat '{}'", std::env::current_exe().unwrap().display(), self.0.display())
    }

    /// The shell command that records for a while.
    pub(crate) fn during(&self, time: Duration) -> String {
        format!("{} {}", self.forever(), time.as_millis())
    }

    /// Forgets an earlier command.
    pub(crate) fn clear(&self) {
        let _ = fs::remove_file(&self.0);
    }

    /// When the command ran, if it has: the first and the last moment.
    pub(crate) fn span(&self) -> Option<(u128, u128)> {
        let text = fs::read_to_string(&self.0).ok()?;
        let mut moments = text.lines().filter_map(|line| line.parse().ok());
        let first = moments.next()?;
        Some((first, moments.next_back().unwrap_or(first)))
    }

    pub(crate) fn wait_for_start(&self) {
        eventually("the command runs", || self.span().is_some());
    }

    /// Asserts that the command has ended: it records nothing more.
    pub(crate) fn assert_ended(&self) {
        let before = self.span();
        std::thread::sleep(INTERVAL * 20);
        assert_eq!(self.span(), before, "the command still runs");
    }

    /// Asserts that this command had ended when the later one began.
    pub(crate) fn assert_before(&self, later: &Self) {
        let ((_, end), (start, _)) = (self.span().unwrap(), later.span().unwrap());
        assert!(end < start, "two commands ran at once, for {:?}", Duration::from_nanos((end - start) as u64));
    }
}

/// Records until it is killed, or for a while.
pub(crate) fn record(file: &str, millis: Option<u64>) {
    let start = SystemTime::now();
    let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
    loop {
        let now = SystemTime::now();
        writeln!(file, "{}", now.duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap();
        let ran = now.duration_since(start).unwrap_or_default();
        if millis.is_some_and(|millis| ran > Duration::from_millis(millis)) {
            return;
        }
        std::thread::sleep(INTERVAL);
    }
}
