//! No file, function or driver is longer than a reader can keep in mind. Only drivers have exceptions, each with a
//! reason.

use super::source::Source;
use super::tree::{File, Tree};

/// Lines of a file, all counted.
const FILE: usize = 350;
/// Lines of code of a function, its signature included.
const FUNCTION: usize = 40;
/// Lines of code of a driver, scripts included, tests not.
const DRIVER: usize = 1_700;

/// Drivers that are longer than that: how long they may be, and what makes them long.
const LONGER_DRIVERS: [(&str, usize, &str); 5] = [
    ("tooz-etcd", 2_095, "a fence for requests of unknown outcome, a key pool, a watch multiplexer, and followers"),
    ("tooz-file", 2_545, "no server: presence, notification and access rights are the driver's own"),
    ("tooz-postgres", 1_880, "the verbs in SQL beside Rust, the TLS modes of libpq, and followers"),
    ("tooz-redis", 2_735, "a script for each verb, subscriptions, followers, shards, and three topologies"),
    ("tooz-zookeeper", 2_900, "two client crates, each with its dialer, and followers"),
];

pub(super) fn complaints(tree: &Tree) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in tree.files.iter().filter(|file| ["rs", "lua", "sql"].iter().any(|kind| file.has_extension(kind))) {
        let lines = file.text.lines().count();
        if lines > FILE {
            complaints.push(format!("{} has {lines} lines, more than {FILE}; split it by subject", file.path));
        }
    }
    for (file, source) in tree.sources() {
        complaints.extend(long_functions(file, source));
    }
    for driver in tree.drivers() {
        let lines = driver_code_lines(tree, driver);
        let longer = LONGER_DRIVERS.iter().find(|(name, ..)| *name == driver);
        let limit = longer.map_or(DRIVER, |(_, limit, _)| *limit);
        if lines > limit {
            complaints.push(format!("{driver} has {lines} lines of code, more than {limit} for a driver"));
        }
    }
    complaints
}

fn long_functions(file: &File, source: &Source) -> Vec<String> {
    let functions = source.functions().into_iter();
    let long = functions.filter(|function| function.code_lines > FUNCTION);
    let complaint = |function: super::source::Function| {
        let (path, line, name, lines) = (&file.path, function.first_line, function.name, function.code_lines);
        format!("{path}:{line} function {name} has {lines} lines of code, more than {FUNCTION}; extract a step")
    };
    long.map(complaint).collect()
}

/// Code of a driver's `src/`: Rust without tests, and the scripts.
fn driver_code_lines(tree: &Tree, driver: &str) -> usize {
    let folder = format!("{driver}/src/");
    let test_files: Vec<_> = tree
        .sources()
        .filter(|(file, _)| file.path.starts_with(&folder))
        .flat_map(|(file, source)| {
            let directory = directory_of_children(&file.path);
            source.test_modules().into_iter().map(move |module| format!("{directory}{module}"))
        })
        .collect();
    let is_test = |path: &str| {
        path.ends_with("_tests.rs")
            || test_files.iter().any(|test| path == format!("{test}.rs") || path.starts_with(&format!("{test}/")))
    };
    let files = tree.files.iter().filter(|file| file.path.starts_with(&folder) && !is_test(&file.path));
    files.map(code_lines).sum()
}

fn code_lines(file: &File) -> usize {
    match &file.source {
        Some(Ok(source)) => source.code_lines_without_tests(),
        _ if file.has_extension("lua") || file.has_extension("sql") => {
            file.text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("--")).count()
        }
        _ => 0,
    }
}

/// Where the modules are that the file at `path` declares.
fn directory_of_children(path: &str) -> String {
    let stem = path.trim_end_matches(".rs");
    match stem.rsplit_once('/') {
        Some((directory, "lib" | "mod" | "main")) => format!("{directory}/"),
        _ => format!("{stem}/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_named() {
        let text = format!("//! A.\n{}", "\n".repeat(FILE));
        assert!(complaints(&Tree::of(&[("a.rs", &text)]))[0].starts_with("a.rs has 351 lines, more than 350"));
    }

    #[test]
    fn a_long_function_is_named_and_comments_do_not_count() {
        let function = |body: &str| format!("//! A.\nstruct A;\nimpl A {{\n    fn f() {{\n{body}    }}\n}}\n");
        let long = function(&"        g();\n".repeat(FUNCTION - 1));
        let complaints_of = |text: &str| complaints(&Tree::of(&[("a.rs", text)]));
        let found = complaints_of(&long);
        assert_eq!(found, ["a.rs:4 function f has 41 lines of code, more than 40; extract a step"]);
        assert_eq!(complaints_of(&function(&"        // why\n\n".repeat(FUNCTION))), [""; 0]);
    }

    #[test]
    fn a_long_driver_is_named_with_its_scripts_and_without_its_tests() {
        let half = "const A: u8 = 1;\n".repeat(170);
        let lua = format!("-- Head.\n\n{}", "local a = 1\n".repeat(170));
        let tests = format!("//! T.\n{half}");
        let parts: Vec<_> = (0..5)
            .flat_map(|n| [(format!("x/src/{n}.rs"), half.clone()), (format!("x/src/{n}.lua"), lua.clone())])
            .collect();
        let lib = "//! X.\n#[cfg(test)]\nmod a_tests;\ntooz_core::inventory::submit! { DRIVER }";
        let mut files = vec![("Cargo.toml", "[workspace]\nmembers = [\"x\"]"), ("x/src/lib.rs", lib)];
        files.push(("x/Cargo.toml", "[dependencies]\ntooz-core.workspace = true"));
        files.push(("x/src/a_tests.rs", &tests));
        files.extend(parts.iter().map(|(path, text)| (path.as_str(), text.as_str())));
        let found = complaints(&Tree::of(&files));
        assert_eq!(found, ["x has 1701 lines of code, more than 1700 for a driver"]);
    }

    #[test]
    fn every_exception_has_a_reason() {
        assert!(LONGER_DRIVERS.iter().all(|(_, _, reason)| !reason.is_empty()));
    }
}
