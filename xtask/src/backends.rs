//! The backends that `cargo xtask test` must see tested, and the servers that they need.
//!
//! Each driver's Cargo.toml says so itself, under `[package.metadata.tooz]`; a new driver is found without a change here.

use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

use crate::images;
use crate::run::{Outcome, apt_install, cargo, is_installed, read, run, succeeds};

/// A backend of this project.
#[derive(Debug)]
pub(crate) struct Backend {
    /// The value of `--backend`.
    pub(crate) name: &'static str,
    /// The names of the test harnesses whose reports must exist.
    pub(crate) harnesses: Vec<&'static str>,
    /// The package that contains these tests.
    pub(crate) package: &'static str,
    /// The server; `None` if the backend has none.
    pub(crate) server: Option<Server>,
}

/// Where a server comes from: a container image, a program on the PATH, or Debian packages.
#[derive(Debug)]
pub(crate) struct Server {
    image: Option<&'static str>,
    local_image: &'static str,
    programs: Vec<&'static str>,
    packages: Vec<&'static str>,
}

impl Backend {
    /// Whether its server is installed as a program.
    pub(crate) fn programs_are_here(&self) -> bool {
        self.server.as_ref().is_some_and(|server| server.programs.iter().any(|program| is_installed(program)))
    }
}

/// All backends, by name. Images and programs are those of `tooz_conformance::servers`.
pub(crate) static BACKENDS: LazyLock<Vec<Backend>> = LazyLock::new(|| {
    let mut backends: Vec<_> = packages().iter().filter_map(Backend::of_package).collect();
    backends.sort_by_key(|backend| backend.name);
    backends
});

/// What cargo knows of the packages of the workspace.
fn packages() -> &'static [Value] {
    static METADATA: LazyLock<Value> = LazyLock::new(|| {
        let metadata =
            cargo(&["metadata", "--no-deps", "--format-version", "1"]).and_then(|mut cargo| read(&mut cargo));
        let metadata = metadata.and_then(|text| Ok(serde_json::from_str(&text)?));
        metadata.expect("cargo describes the workspace")
    });
    METADATA["packages"].as_array().map(Vec::as_slice).unwrap_or_default()
}

impl Backend {
    /// The backend that a package tests, if it says so.
    fn of_package(package: &'static Value) -> Option<Self> {
        let tooz = &package["metadata"]["tooz"];
        let server = Some(&tooz["server"]).filter(|server| server.is_object()).map(Server::of);
        let (name, package) = (tooz["backend"].as_str()?, package["name"].as_str()?);
        Some(Self { name, harnesses: words(&tooz["harnesses"]), package, server })
    }
}

impl Server {
    fn of(server: &'static Value) -> Self {
        Self {
            image: server["image"].as_str(),
            local_image: server["local-image"].as_str().unwrap_or_default(),
            programs: words(&server["programs"]),
            packages: words(&server["packages"]),
        }
    }
}

fn words(list: &'static Value) -> Vec<&'static str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The backend with this name, or all of them.
pub(crate) fn chosen(name: Option<&str>) -> Outcome<Vec<&'static Backend>> {
    let Some(name) = name else { return Ok(BACKENDS.iter().collect()) };
    let found = BACKENDS.iter().find(|backend| backend.name == name);
    let names = || BACKENDS.iter().map(|backend| backend.name).collect::<Vec<_>>().join(", ");
    Ok(vec![found.ok_or_else(|| format!("there is no backend \"{name}\", only {}", names()))?])
}

/// Valkey; the Redis driver is tested on it too.
static VALKEY: LazyLock<Server> = LazyLock::new(|| Server {
    image: Some("valkey/valkey:8.1"),
    local_image: images::VALKEY,
    programs: vec!["valkey-server"],
    packages: vec!["valkey-server"],
});

/// Sets up Valkey. The error says why this machine cannot have it: distributions released before 2025 lack it.
pub(crate) fn set_up_valkey() -> Outcome {
    if !must_be_supplied("valkey") || VALKEY.programs.iter().any(|program| is_installed(program)) {
        return Ok(());
    }
    if !programs_only() {
        let mut images = VALKEY.image.into_iter().chain([VALKEY.local_image]);
        let pull = |stock| run(Command::new("docker").args(["pull", "--quiet", stock])).is_ok();
        if images.any(images::is_here) || VALKEY.image.is_some_and(pull) || images::build_valkey().is_ok() {
            return Ok(());
        }
    }
    apt_install(&VALKEY.packages)
}

/// Makes sure that the servers of these backends can run: as containers if Docker works, else as programs.
pub(crate) fn set_up(backends: &[&'static Backend]) -> Outcome {
    let servers: Vec<_> = backends.iter().filter_map(|backend| needed(backend)).collect();
    if servers.is_empty() {
        return Ok(());
    }
    if !programs_only() {
        match containers(&servers) {
            Ok(()) => return Ok(()),
            Err(reason) => eprintln!("xtask: no containers ({reason}); the servers' own programs are used"),
        }
    }
    for (name, server) in servers {
        if server.programs.iter().any(|program| is_installed(program)) {
            eprintln!("xtask: {name} is installed as a program");
        } else {
            apt_install(&server.packages).map_err(|error| format!("no {name} to test with: {error}"))?;
        }
    }
    Ok(())
}

/// The server of a backend, unless the user names one in the environment.
fn needed(backend: &'static Backend) -> Option<(&'static str, &'static Server)> {
    let server = backend.server.as_ref().filter(|_| must_be_supplied(backend.name));
    server.map(|server| (backend.name, server))
}

fn programs_only() -> bool {
    std::env::var("TOOZ_TEST_PROVISION").as_deref() == Ok("program")
}

fn must_be_supplied(name: &str) -> bool {
    let given = |what| std::env::var_os(format!("TOOZ_TEST_{}_{what}", name.to_uppercase())).is_some();
    !given("URL") && !given("IMAGE")
}

fn containers(servers: &[(&str, &Server)]) -> Outcome {
    if !succeeds("docker", ["version"]) {
        return Err("Docker is not installed, or its engine does not run".into());
    }
    for (name, server) in servers {
        let image = server.image.into_iter().chain([server.local_image]).find(|image| images::is_here(image));
        match (image, server.image) {
            (Some(image), _) => eprintln!("xtask: {name} has the image {image}"),
            (None, Some(stock)) if run(Command::new("docker").args(["pull", "--quiet", stock])).is_ok() => {}
            _ => images::build()?,
        }
    }
    Ok(())
}
