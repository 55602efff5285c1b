//! No file of a crate imports a file that imports it back, directly or through others.
//!
//! The imports are the paths that begin with `crate`, `super` or `self`. A `mod.rs` or `lib.rs` only declares and
//! re-exports, so imports between it and its own files do not count. The circles are the strongly connected components
//! of the imports, found by reachability, since crates are small.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::Tree;

/// The path of a module inside its crate: `["roster", "enter"]`.
type Module = Vec<String>;

pub(super) fn complaints(tree: &Tree) -> Vec<String> {
    let mut crates: BTreeMap<&str, Imports> = BTreeMap::new();
    for (file, _) in tree.sources() {
        if let Some((package, path)) = file.path.split_once("/src/") {
            crates.entry(package).or_default().files.insert(module_of(path), file.path.clone());
        }
    }
    for (file, source) in tree.sources() {
        let Some((package, path)) = file.path.split_once("/src/") else { continue };
        let Some(imports) = crates.get_mut(package) else { continue };
        let module = module_of(path);
        let is_root = ["mod.rs", "lib.rs", "main.rs"].contains(&file.name());
        let paths = source.local_paths();
        let targets = paths.iter().filter_map(|path| imports.resolve(&module, path));
        let targets = targets.filter(|target| *target != module && !(is_root && target.starts_with(&module)));
        let targets: BTreeSet<_> = targets.filter(|target| !target.is_empty()).collect();
        imports.edges.insert(module, targets);
    }
    crates.values().flat_map(Imports::circles).collect()
}

/// The files of one crate and which of them imports which.
#[derive(Debug, Default)]
struct Imports {
    files: BTreeMap<Module, String>,
    edges: BTreeMap<Module, BTreeSet<Module>>,
}

impl Imports {
    /// The module whose file has the item at `path`, seen from `module`.
    fn resolve(&self, module: &Module, path: &[String]) -> Option<Module> {
        let mut target = match path.first()?.as_str() {
            "crate" => Vec::new(),
            _ => module.clone(),
        };
        for segment in path {
            match segment.as_str() {
                "crate" | "self" => {}
                "super" => drop(target.pop()),
                name => target.push(name.to_owned()),
            }
        }
        while !target.is_empty() && !self.files.contains_key(&target) {
            target.pop();
        }
        Some(target)
    }

    /// One complaint for each circle, with all its files.
    fn circles(&self) -> Vec<String> {
        let reachable: BTreeMap<_, _> = self.edges.keys().map(|module| (module, self.reachable(module))).collect();
        let mut reported = BTreeSet::new();
        let mut complaints = Vec::new();
        for (module, targets) in &reachable {
            if !targets.contains(*module) || reported.contains(*module) {
                continue;
            }
            let in_circle = |other: &&Module| reachable.get(other).is_some_and(|back| back.contains(*module));
            let circle: Vec<_> = targets.iter().filter(in_circle).cloned().collect();
            let files: Vec<_> = circle.iter().filter_map(|module| self.files.get(module).cloned()).collect();
            complaints.push(format!(
                "{} import each other in a circle; move what they share into one that the others import",
                files.join(", ")
            ));
            reported.extend(circle);
        }
        complaints
    }

    fn reachable(&self, start: &Module) -> BTreeSet<Module> {
        let mut found = BTreeSet::new();
        let mut open = vec![start];
        while let Some(module) = open.pop() {
            for target in self.edges.get(module).into_iter().flatten() {
                if found.insert(target.clone()) {
                    open.push(target);
                }
            }
        }
        found
    }
}

/// `roster/enter.rs` is `roster::enter`, `roster/mod.rs` is `roster`, `lib.rs` is the root.
fn module_of(path: &str) -> Module {
    let mut module: Module = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        module.pop();
    }
    module
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_through_three_files_is_found() {
        let tree = Tree::of(&[
            ("x/src/lib.rs", "//! X.\nmod a;\nmod b;\nmod c;\npub use self::a::A;"),
            ("x/src/a.rs", "//! A.\nuse crate::b::B;"),
            ("x/src/b.rs", "//! B.\nuse super::c::{self, C};"),
            ("x/src/c/mod.rs", "//! C.\nmod d;\npub use self::d::C;\nuse crate::a::A;"),
            ("x/src/c/d.rs", "//! D.\nuse super::C;"),
        ]);
        let complaints = complaints(&tree);
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert!(complaints[0].starts_with("x/src/a.rs, x/src/b.rs, x/src/c/mod.rs import"), "{complaints:?}");
    }

    #[test]
    fn tests_comments_and_re_exports_make_no_circle() {
        let tree = Tree::of(&[
            ("x/src/lib.rs", "//! X.\nmod a;\nmod b;\npub use self::a::A;"),
            ("x/src/a.rs", "//! A, as in [`crate::b`].\n#[cfg(test)]\nmod tests { use crate::b::B; }"),
            ("x/src/b.rs", "//! B.\nuse crate::a::A;\n// use super::b;"),
        ]);
        assert_eq!(complaints(&tree), [""; 0]);
    }
}
