//! What was tested and how its server was provided: one line on the terminal, one file for `cargo xtask test`.

use std::env;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use libtest_mimic::Conclusion;
use serde_json::json;

/// How the backend of a run is provided, and in which version. Printed when it is first known.
#[derive(Debug, Default)]
pub(crate) struct Report(Mutex<Option<(String, String)>>);

impl Report {
    /// Records how the backend is provided, and its version.
    pub(crate) fn provided_by(&self, (provision, version): (String, String), name: &str) {
        let Ok(mut known) = self.0.lock() else { return };
        if known.is_none() {
            eprintln!("testing {name} {version}, provided by {provision}");
            *known = Some((provision, version));
        }
    }

    /// Writes the outcome into the directory `TOOZ_TEST_REPORT`, if that is set.
    pub(crate) fn write(&self, name: &str, conclusion: &Conclusion) {
        let Some(directory) = env::var_os("TOOZ_TEST_REPORT") else { return };
        let known = self.0.lock().ok().and_then(|known| known.clone());
        let (provision, version) = known.unzip();
        let outcome = json!({
            "name": name, "provision": provision, "version": version,
            "passed": conclusion.num_passed, "failed": conclusion.num_failed, "ignored": conclusion.num_ignored,
        });
        let path = Path::new(&directory).join(format!("{name}.json"));
        if let Err(error) = fs::write(&path, outcome.to_string()) {
            eprintln!("warning: failed to write {}: {error}", path.display());
        }
    }
}
