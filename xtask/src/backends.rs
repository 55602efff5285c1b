//! The backends that `cargo xtask test` must see tested, and the servers that they need.

use std::process::Command;

use crate::images;
use crate::run::{Outcome, apt_install, is_installed, run, succeeds};

/// A backend of this project.
#[derive(Debug)]
pub(crate) struct Backend {
    /// The value of `--backend`.
    pub(crate) name: &'static str,
    /// The names of the test harnesses whose reports must exist.
    pub(crate) harnesses: &'static [&'static str],
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
    programs: &'static [&'static str],
    packages: &'static [&'static str],
}

impl Backend {
    /// Whether its server is installed as a program.
    pub(crate) fn programs_are_here(&self) -> bool {
        self.server.as_ref().is_some_and(|server| server.programs.iter().any(|program| is_installed(program)))
    }
}

/// All backends. Images and programs are those of `tooz_conformance::servers`.
pub(crate) const BACKENDS: [Backend; 6] = [
    Backend { name: "memory", harnesses: &["memory"], package: "tooz-conformance", server: None },
    Backend { name: "file", harnesses: &["file"], package: "tooz-file", server: None },
    Backend {
        name: "redis",
        harnesses: &["redis", "redis-sentinel", "redis-cluster"],
        package: "tooz-redis",
        server: Some(Server {
            image: Some("redis:7.4"),
            local_image: images::REDIS,
            programs: &["redis-server"],
            packages: &["redis-server"],
        }),
    },
    Backend {
        name: "etcd",
        harnesses: &["etcd", "etcd-cluster"],
        package: "tooz-etcd",
        server: Some(Server {
            image: None,
            local_image: images::ETCD,
            programs: &["etcd"],
            packages: &["etcd-server"],
        }),
    },
    Backend {
        name: "postgres",
        harnesses: &["postgres"],
        package: "tooz-postgres",
        server: Some(Server {
            image: Some("postgres:17"),
            local_image: images::POSTGRES,
            programs: &["postgres", "/usr/lib/postgresql/15/bin/postgres"],
            packages: &["postgresql-15"],
        }),
    },
    Backend {
        name: "zookeeper",
        harnesses: &["zookeeper", "zookeeper-ensemble", "zookeeper-tls", "zookeeper-client-ensemble"],
        package: "tooz-zookeeper",
        server: Some(Server {
            image: Some("zookeeper:3.9"),
            local_image: images::ZOOKEEPER,
            programs: &["zkServer.sh", "/usr/share/zookeeper/bin/zkServer.sh"],
            packages: &["zookeeper", "default-jre-headless"],
        }),
    },
];

/// The backend with this name, or all of them.
pub(crate) fn chosen(name: Option<&str>) -> Outcome<Vec<&'static Backend>> {
    let Some(name) = name else { return Ok(BACKENDS.iter().collect()) };
    let found = BACKENDS.iter().find(|backend| backend.name == name);
    let names = || BACKENDS.map(|backend| backend.name).join(", ");
    Ok(vec![found.ok_or_else(|| format!("there is no backend \"{name}\", only {}", names()))?])
}

/// Valkey; the Redis driver is tested on it too.
const VALKEY: Server = Server {
    image: Some("valkey/valkey:8.1"),
    local_image: images::VALKEY,
    programs: &["valkey-server"],
    packages: &["valkey-server"],
};

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
    apt_install(VALKEY.packages)
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
            apt_install(server.packages).map_err(|error| format!("no {name} to test with: {error}"))?;
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
