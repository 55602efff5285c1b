//! ZooKeeper: version, role, and the bounds of the session timeout, by its four-letter commands.

use std::io;

use super::super::check::Check;
use super::wire::exchange;

pub(super) async fn examine(address: &str) -> io::Result<Vec<Check>> {
    let status = exchange(address, b"srvr").await?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let version = field("Zookeeper version:").and_then(|version| version.split(['-', ',']).next());
    let server = format!("ZooKeeper {}, {}", version.unwrap_or("unknown"), field("Mode:").unwrap_or("unknown role"));
    let settings = exchange(address, b"conf").await?;
    Ok(vec![Check::ok(format!("server {address}"), server), bounds(&settings)])
}

fn bounds(settings: &str) -> Check {
    let setting = |name: &str| settings.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    match (setting("minSessionTimeout"), setting("maxSessionTimeout")) {
        (Some(least), Some(greatest)) => Check::ok(
            "session timeout",
            format!("the server grants {least} to {greatest} ms; a TTL outside becomes the nearest"),
        ),
        _ => Check::ok("session timeout", "unknown bounds; add conf to 4lw.commands.whitelist to see them"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_read_or_explained() {
        let found = bounds("clientPort=2181\nminSessionTimeout=4000\nmaxSessionTimeout=40000\n");
        assert!(found.result.contains("4000 to 40000 ms"), "{found:?}");
        assert!(bounds("conf is not executed because it is not in the whitelist.").result.contains("whitelist"));
    }
}
