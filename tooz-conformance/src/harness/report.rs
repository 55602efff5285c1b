//! What was tested and how its server was provided: one line on the terminal, one file for `cargo xtask test`.

use std::env;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use libtest_mimic::Conclusion;
use serde_json::json;

/// What is known of a run before it ends.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// How the backend is provided, and in which version. Printed when it is first known.
    provision: Mutex<Option<(String, String)>>,
    /// The trials that have ended, each with the time that it took.
    durations: Mutex<Vec<(String, Duration)>>,
}

impl Report {
    /// Records how the backend is provided, and its version.
    pub(crate) fn provided_by(&self, (provision, version): (String, String), name: &str) {
        let Ok(mut known) = self.provision.lock() else { return };
        if known.is_none() {
            eprintln!("testing {name} {version}, provided by {provision}");
            *known = Some((provision, version));
        }
    }

    /// Records how long one run of a trial took, with the start of its own servers.
    pub(crate) fn took(&self, trial: &str, duration: Duration) {
        self.durations.lock().unwrap_or_else(PoisonError::into_inner).push((trial.to_owned(), duration));
    }

    /// Writes the outcome into the directory `TOOZ_TEST_REPORT`, if that is set.
    pub(crate) fn write(&self, name: &str, conclusion: &Conclusion) {
        let Some(directory) = env::var_os("TOOZ_TEST_REPORT") else { return };
        let known = self.provision.lock().ok().and_then(|known| known.clone());
        let (provision, version) = known.unzip();
        let durations = self.durations.lock().unwrap_or_else(PoisonError::into_inner);
        let durations: Vec<_> =
            durations.iter().map(|(trial, took)| json!({ "trial": trial, "seconds": took.as_secs_f64() })).collect();
        let outcome = json!({
            "name": name, "provision": provision, "version": version,
            "passed": conclusion.num_passed, "failed": conclusion.num_failed, "ignored": conclusion.num_ignored,
            "durations": durations,
        });
        let path = Path::new(&directory).join(format!("{name}.json"));
        if let Err(error) = fs::write(&path, outcome.to_string()) {
            eprintln!("warning: failed to write {}: {error}", path.display());
        }
    }
}
