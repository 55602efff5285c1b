//! Builds server images from Debian packages, for hosts without an image registry. Skips images that exist.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::run::{Outcome, apt_install, is_installed, run, succeeds};

const BASE: &str = "tooz-test/base:bookworm";
/// With `redis-server` and `redis-sentinel` on its PATH.
pub(crate) const REDIS: &str = "tooz-test/redis:bookworm";
/// With `etcd` on its PATH.
pub(crate) const ETCD: &str = "tooz-test/etcd:bookworm";
/// With a `zkServer.sh` that takes the stock image's arguments.
pub(crate) const ZOOKEEPER: &str = "tooz-test/zookeeper:bookworm";
/// With `postgres` and `initdb` on its PATH.
pub(crate) const POSTGRES: &str = "tooz-test/postgres:bookworm";
/// With `valkey-server` on its PATH.
pub(crate) const VALKEY: &str = "tooz-test/valkey:trixie";

/// Whether the engine has an image.
pub(crate) fn is_here(image: &str) -> bool {
    succeeds("docker", ["image", "inspect", image])
}

/// Builds the images that are missing.
pub(crate) fn build() -> Outcome {
    if !succeeds("docker", ["version"]) {
        return Err("Docker is not installed, or its engine does not run".into());
    }
    if !is_here(BASE) {
        eprintln!("xtask: building {BASE} from Debian packages, which takes about a minute");
        in_scratch("base", |scratch| debian(scratch, "bookworm", "redis-server,redis-sentinel,etcd-server", BASE))?;
    }
    for image in [REDIS, ETCD] {
        if !is_here(image) {
            run(Command::new("docker").args(["tag", BASE, image]))?;
        }
    }
    if !is_here(ZOOKEEPER) {
        eprintln!("xtask: building {ZOOKEEPER}, which takes about a minute");
        in_scratch("zookeeper", zookeeper)?;
    }
    if !is_here(POSTGRES) {
        eprintln!("xtask: building {POSTGRES}, which takes about a minute");
        in_scratch("postgres", postgres)?;
    }
    eprintln!("xtask: the images {REDIS}, {ETCD}, {ZOOKEEPER} and {POSTGRES} exist");
    Ok(())
}

/// Builds the image of Valkey if it is missing.
pub(crate) fn build_valkey() -> Outcome {
    if is_here(VALKEY) {
        return Ok(());
    }
    if !succeeds("docker", ["version"]) {
        return Err("Docker is not installed, or its engine does not run".into());
    }
    println!("xtask: building {VALKEY} from Debian packages, which takes about a minute");
    in_scratch("valkey", |scratch| debian(scratch, "trixie", "valkey-server", VALKEY))
}

/// A minimal system of a Debian release with some packages.
fn debian(scratch: &Path, release: &str, packages: &str, image: &str) -> Outcome {
    if !is_installed("debootstrap") {
        apt_install(&["debootstrap"])?;
    }
    let system = scratch.join("system");
    let mut debootstrap = Command::new("debootstrap");
    debootstrap.args(["--variant=minbase", &format!("--include={packages}"), release]);
    run(debootstrap.arg(&system).stdout(Stdio::null()))?;
    let archive = scratch.join("system.tar");
    run(Command::new("tar").arg("-C").arg(&system).arg("-cf").arg(&archive).arg("."))?;
    run(Command::new("docker").arg("import").arg(&archive).arg(image))
}

fn zookeeper(scratch: &Path) -> Outcome {
    fs::write(scratch.join("Dockerfile"), include_str!("../images/zookeeper.Dockerfile"))?;
    fs::write(scratch.join("zkServer.sh"), include_str!("../images/zkServer.sh"))?;
    run(Command::new("chmod").arg("755").arg(scratch.join("zkServer.sh")))?;
    run(Command::new("docker").args(["build", "--quiet", "--tag", ZOOKEEPER]).arg(scratch))
}

fn postgres(scratch: &Path) -> Outcome {
    fs::write(scratch.join("Dockerfile"), include_str!("../images/postgres.Dockerfile"))?;
    run(Command::new("docker").args(["build", "--quiet", "--tag", POSTGRES]).arg(scratch))
}

/// Runs a step in a directory that is removed afterwards.
fn in_scratch(name: &str, step: impl FnOnce(&Path) -> Outcome) -> Outcome {
    let scratch = std::env::temp_dir().join(format!("tooz-image-{name}-{}", std::process::id()));
    fs::create_dir_all(&scratch)?;
    let outcome = step(&scratch);
    fs::remove_dir_all(&scratch)?;
    outcome
}
