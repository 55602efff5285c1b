//! Packages the crates of the workspace, and publishes them in the order of their dependencies.

use std::collections::HashSet;

use clap::Args;
use serde_json::Value;

use crate::run::{Outcome, cargo, read, run};

/// What to publish.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Package the crates and print the order; upload nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Publishes every crate that crates.io may have. Refuses to start without the address of the repository, which the
/// publisher writes into the workspace's manifest.
pub(crate) fn publish(options: &Options) -> Outcome {
    let metadata = metadata()?;
    let packages = published(&metadata);
    let order = in_order(&packages)?;
    println!("xtask: the order is {}", order.join(", "));
    let has_address = |package: &&Value| package["repository"].as_str().is_some_and(|address| !address.is_empty());
    let complaint = "the workspace's Cargo.toml has no `repository`; write its address there";
    match (packages.iter().all(has_address), options.dry_run) {
        (false, false) => return Err(complaint.into()),
        (false, true) => println!("xtask: before publishing: {complaint}"),
        _ => {}
    }
    if options.dry_run {
        return make_packages(&order);
    }
    for name in order {
        run(&mut cargo(&["publish", "--package", name])?)?;
    }
    Ok(())
}

/// Makes the files that crates.io would get, without building them again.
pub(crate) fn package() -> Outcome {
    make_packages(&in_order(&published(&metadata()?))?)
}

fn make_packages(names: &[&str]) -> Outcome {
    let packages = names.iter().flat_map(|name| ["--package", name]);
    let args = ["package", "--quiet", "--no-verify", "--allow-dirty"].into_iter().chain(packages);
    run(&mut cargo(&args.collect::<Vec<_>>())?)
}

fn metadata() -> Outcome<Value> {
    Ok(serde_json::from_str(&read(&mut cargo(&["metadata", "--no-deps", "--format-version", "1"])?)?)?)
}

/// The packages without `publish = false`.
fn published(metadata: &Value) -> Vec<&Value> {
    metadata["packages"].as_array().into_iter().flatten().filter(|package| package["publish"].is_null()).collect()
}

/// The names of the packages, each after those of the workspace that it depends on.
fn in_order<'a>(packages: &[&'a Value]) -> Outcome<Vec<&'a str>> {
    let names: HashSet<_> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut order = Vec::new();
    while order.len() < names.len() {
        let is_ready = |package: &&&Value| {
            let dependencies = package["dependencies"].as_array().into_iter().flatten();
            // A dependency without a version requirement is left out of the published manifest.
            let mut needed =
                dependencies.filter(|needed| needed["req"] != "*").filter_map(|needed| needed["name"].as_str());
            let name = package["name"].as_str().unwrap_or_default();
            !order.contains(&name) && needed.all(|needed| !names.contains(needed) || order.contains(&needed))
        };
        let next = packages.iter().find(is_ready).and_then(|package| package["name"].as_str());
        order.push(next.ok_or("the packages depend on each other in a circle")?);
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_package_follows_what_it_depends_on() {
        let of = |name: &str, needed: &[&str]| {
            let needed: Vec<_> = needed.iter().map(|name| json!({ "name": name, "req": "^1" })).collect();
            json!({ "name": name, "dependencies": needed })
        };
        let (a, b, c) = (of("a", &["b", "c"]), of("b", &["c", "serde"]), of("c", &[]));
        assert_eq!(in_order(&[&a, &b, &c]).unwrap(), ["c", "b", "a"]);
        let (a, b) = (of("a", &["b"]), of("b", &["a"]));
        assert!(in_order(&[&a, &b]).is_err());
    }
}
