//! Compiles the code blocks of the documentation as tests, so that they work as printed.

macro_rules! pages {
    ($($name:ident: $path:literal,)*) => {
        $(
            #[cfg(doctest)]
            #[doc = include_str!($path)]
            #[derive(Debug)]
            pub struct $name;
        )*
    };
}

pages! {
    Readme: "../README.md",
    ToozReadme: "../tooz/README.md",
    CoreReadme: "../tooz-core/README.md",
    Architecture: "../ARCHITECTURE.md",
    Contributing: "../CONTRIBUTING.md",
    Book: "README.md",
    Start: "start.md",
    Locks: "locks.md",
    Semaphores: "semaphores.md",
    Elections: "elections.md",
    OncePer: "once-per.md",
    Groups: "groups.md",
    Partitioning: "partitioning.md",
    Topics: "topics.md",
    Blocking: "blocking.md",
    ChoosingABackend: "choosing-a-backend.md",
    FailureAndFencing: "failure-and-fencing.md",
    Operating: "operating.md",
    FromPythonTooz: "from-python-tooz.md",
    FromCurator: "from-curator.md",
    FromRedisson: "from-redisson.md",
    FromConsul: "from-consul.md",
    FromShedLock: "from-shedlock.md",
    Guarantees: "guarantees.md",
    Security: "security.md",
    Scaling: "scaling.md",
    WritingADriver: "writing-a-driver.md",
    Bench: "bench/README.md",
    Memory: "drivers/memory.md",
    File: "drivers/file.md",
    Postgres: "drivers/postgres.md",
    Redis: "drivers/redis.md",
    Etcd: "drivers/etcd.md",
    ZooKeeper: "drivers/zookeeper.md",
}
