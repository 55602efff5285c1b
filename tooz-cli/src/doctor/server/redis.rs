//! Redis and Valkey: version, persistence, eviction, clock.

use std::io;
use std::time::{Duration, SystemTime};

use tooz::ServiceUrl;

use super::super::check::Check;
use super::clock::clock;
use super::resp::{command, reply};
use super::wire::exchange;

pub(super) async fn examine(address: &str, url: &ServiceUrl) -> io::Result<Vec<Check>> {
    let mut request = Vec::new();
    if let Some(password) = url.password() {
        request.extend(match url.username() {
            Some(user) => command(&["AUTH", user, password]),
            None => command(&["AUTH", password]),
        });
    }
    request.extend([&["TIME"][..], &["INFO"], &["QUIT"]].map(command).concat());
    let asked = SystemTime::now();
    let text = exchange(address, &request).await?;
    let (mut replies, mut rest) = (Vec::new(), text.as_str());
    while let Some((texts, after)) = reply(rest) {
        replies.push(texts.map_err(io::Error::other)?);
        rest = after;
    }
    match replies.as_slice() {
        [.., time, info, _] => {
            Ok([checks(address, &info.concat()), since_1970(time).map(|time| clock(time, asked)).into_iter().collect()]
                .concat())
        }
        _ => Err(io::Error::other("the server did not answer TIME and INFO")),
    }
}

fn checks(address: &str, info: &str) -> Vec<Check> {
    let field = |name: &str| {
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap_or("unknown").trim().to_owned()
    };
    let mut checks = vec![Check::ok(
        format!("server {address}"),
        format!("{} {}, {}", "Redis", field("redis_version"), field("role")),
    )];
    checks.push(match field("maxmemory_policy") {
        policy if policy == "noeviction" || field("maxmemory") == "0" => Check::ok("maxmemory-policy", policy),
        policy => Check::warn(
            "maxmemory-policy",
            policy,
            "set maxmemory-policy to noeviction: evicted keys are lost locks, and fencing tokens that start again",
        ),
    });
    checks.push(match field("aof_enabled").as_str() {
        "1" => Check::ok("appendonly", "yes"),
        _ => Check::warn(
            "appendonly",
            "no",
            "set appendonly to yes: a restart without it loses locks, groups, messages and fencing tokens",
        ),
    });
    checks
}

/// The reply to TIME.
fn since_1970(time: &[String]) -> Option<Duration> {
    let [seconds, micros] = time else { return None };
    Some(Duration::from_secs(seconds.parse().ok()?) + Duration::from_micros(micros.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check::Verdict;

    #[test]
    fn settings_that_lose_locks_are_warnings() {
        let info =
            "redis_version:7.0.1\r\nrole:master\r\nmaxmemory:100\r\nmaxmemory_policy:allkeys-lru\r\naof_enabled:0\r\n";
        let verdicts: Vec<_> = checks("h:1", info).iter().map(|check| check.verdict).collect();
        assert_eq!(verdicts, [Verdict::Ok, Verdict::Warn, Verdict::Warn]);
    }
}
