//! Operations on the data of a stopped server: it is copied, restored from the copy, or removed.
//!
//! Each operation is a shell script that runs in the data directory of the node. The copy is in a subdirectory, which
//! servers ignore.

/// The subdirectory of the copy. Patterns such as `*` leave it out because of the dot.
const COPY: &str = ".copy";

/// The log file, which belongs to the suite and not to the server.
const LOG: &str = "server.log";

/// Copies everything, and replaces an earlier copy.
pub(super) fn save() -> String {
    format!(
        "rm -rf {COPY} && mkdir {COPY} && for file in *; do \
           [ \"$file\" = {LOG} ] || [ ! -e \"$file\" ] || cp -a \"$file\" {COPY}/ || exit 1; done"
    )
}

/// Replaces everything by the copy.
pub(super) fn restore() -> String {
    format!("{} && cp -a {COPY}/. .", empty(&[]))
}

/// Removes everything but these files, with which the server was configured.
pub(super) fn empty(kept: &[String]) -> String {
    let names = kept.iter().map(|name| name.split('/').next().unwrap_or(name)).chain([LOG]);
    let kept: Vec<_> = names.map(|name| format!("'{name}'")).collect();
    format!("for file in *; do case \"$file\" in {}) ;; *) rm -rf \"$file\" || exit 1;; esac; done", kept.join("|"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    use super::*;

    fn run(script: &str, directory: &Path) {
        let status = Command::new("sh").args(["-c", script]).current_dir(directory).status().expect("there is a shell");
        assert!(status.success(), "{script}");
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("the directory exists");
        let names = entries.map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned());
        let mut names: Vec<_> = names.filter(|name| name != COPY).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_copy_comes_back_and_configuration_stays() -> std::io::Result<()> {
        let home = tempfile::tempdir()?;
        let write = |name: &str, content: &str| fs::write(home.path().join(name), content);
        run(&save(), home.path());
        for name in ["my config", "server.log", "data"] {
            write(name, "before")?;
        }
        run(&save(), home.path());
        write("data", "after")?;
        write("more", "after")?;
        run(&restore(), home.path());
        assert_eq!(names(home.path()), ["data", "my config", "server.log"]);
        assert_eq!(fs::read_to_string(home.path().join("data"))?, "before");
        run(&empty(&["my config".to_owned()]), home.path());
        assert_eq!(names(home.path()), ["my config", "server.log"]);
        Ok(())
    }
}
