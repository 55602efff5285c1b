//! What was tested and by which means: one line for people, one file for `cargo xtask test`.

use std::env;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use libtest_mimic::Conclusion;
use serde_json::json;

/// Keeps the means of a run; prints them when they are first known.
#[derive(Debug, Default)]
pub(crate) struct Report(Mutex<Option<(String, String)>>);

impl Report {
    /// The backend runs by these means, in this version.
    pub(crate) fn on(&self, (means, version): (String, String), name: &str) {
        let Ok(mut known) = self.0.lock() else { return };
        if known.is_none() {
            eprintln!("{name} {version} is tested by {means}");
            *known = Some((means, version));
        }
    }

    /// Writes the outcome into the directory `TOOZ_TEST_REPORT`, if that is set.
    pub(crate) fn write(&self, name: &str, conclusion: &Conclusion) {
        let Some(directory) = env::var_os("TOOZ_TEST_REPORT") else { return };
        let known = self.0.lock().ok().and_then(|known| known.clone());
        let (means, version) = known.unzip();
        let outcome = json!({
            "name": name, "means": means, "version": version,
            "passed": conclusion.num_passed, "failed": conclusion.num_failed, "ignored": conclusion.num_ignored,
        });
        let path = Path::new(&directory).join(format!("{name}.json"));
        if let Err(error) = fs::write(&path, outcome.to_string()) {
            eprintln!("warning: failed to write {}: {error}", path.display());
        }
    }
}
