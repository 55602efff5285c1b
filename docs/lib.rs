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
    FromPythonTooz: "from-python-tooz.md",
    Guarantees: "guarantees.md",
    Security: "security.md",
    WritingADriver: "writing-a-driver.md",
    Bench: "bench/README.md",
    Memory: "drivers/memory.md",
    File: "drivers/file.md",
    Redis: "drivers/redis.md",
    Etcd: "drivers/etcd.md",
    ZooKeeper: "drivers/zookeeper.md",
}
