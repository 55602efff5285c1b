//! What the servers have done, by their own statistics. Only this file knows where each product has them.

use std::io;
use std::iter::Sum;
use std::ops::Add;
use std::time::Duration;

use super::wire;

/// What a server has done since it started, by its own count. The values only rise.
#[derive(Clone, Copy, Debug, Default)]
pub struct Statistics {
    /// The requests of clients. The messages of a stream count one by one.
    pub requests: u64,
    /// Everything that the server has carried out, including the commands of scripts.
    pub commands: u64,
    /// The time that it has spent, if it measures that.
    pub busy: Option<Duration>,
}

impl Add for Statistics {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let busy = self.busy.zip(other.busy).map(|(one, other)| one + other);
        Self { requests: self.requests + other.requests, commands: self.commands + other.commands, busy }
    }
}

impl Sum for Statistics {
    fn sum<I: Iterator<Item = Self>>(servers: I) -> Self {
        servers.reduce(Add::add).unwrap_or_default()
    }
}

/// Redis: `INFO`. It does not distinguish commands of clients from those inside scripts, so requests are the commands that no
/// script contains.
pub(super) async fn redis(port: u16) -> io::Result<Statistics> {
    const OF_CLIENTS: [&str; 15] = [
        "auth",
        "client",
        "cluster",
        "eval",
        "evalsha",
        "fcall",
        "hello",
        "info",
        "ping",
        "psubscribe",
        "select",
        "ssubscribe",
        "subscribe",
        "sunsubscribe",
        "unsubscribe",
    ];
    let info = wire::redis(port, &["INFO", "ALL"]).await?;
    let calls = info.lines().filter_map(|line| {
        let (command, values) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let family = command.split('|').next().unwrap_or(command);
        Some((family, values.split(',').next()?.parse::<u64>().ok()?))
    });
    let of_clients = calls.clone().filter(|(command, _)| OF_CLIENTS.contains(command));
    let seconds = |key| info.lines().find_map(|line: &str| line.strip_prefix(key)?.trim().parse::<f64>().ok());
    let busy = seconds("used_cpu_sys:").zip(seconds("used_cpu_user:"));
    Ok(Statistics {
        requests: of_clients.map(|(_, calls)| calls).sum(),
        commands: calls.map(|(_, calls)| calls).sum(),
        busy: busy.map(|(system, user)| Duration::from_secs_f64(system + user)),
    })
}

/// etcd: `/metrics`. Requests are the messages that the server has received, of streams too.
pub(super) async fn etcd(port: u16) -> io::Result<Statistics> {
    let metrics = wire::http_get(port, "/metrics").await?;
    let values = |name: &'static str| {
        let lines = metrics.lines().filter(move |line| line.starts_with(name));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
    };
    let received = values("grpc_server_msg_received_total").sum::<f64>() as u64;
    let busy = values("process_cpu_seconds_total").next().map(Duration::from_secs_f64);
    Ok(Statistics { requests: received, commands: received, busy })
}

/// ZooKeeper: `mntr`. It counts packets, including those of four-letter words, and measures no time.
pub(super) async fn zookeeper(port: u16) -> io::Result<Statistics> {
    let answer = wire::four_letters(port, "mntr").await?;
    let received = answer.lines().find_map(|line| line.strip_prefix("zk_packets_received")?.trim().parse().ok());
    let received = received.ok_or_else(|| io::Error::other("mntr does not name the packets received"))?;
    Ok(Statistics { requests: received, commands: received, busy: None })
}

/// PostgreSQL: `pg_stat_statements`. Requests are the statements of clients, without those inside functions.
pub(super) async fn postgres(port: u16, user: &str) -> io::Result<Statistics> {
    const QUERY: &str = "CREATE EXTENSION IF NOT EXISTS pg_stat_statements; SELECT 'sums ' || sum(calls) || ' ' || \
                         sum(total_exec_time) || ' end' FROM pg_stat_statements(false)";
    let reply = wire::postgres(port, user, QUERY).await?;
    let sums = reply.split("sums ").nth(1).and_then(|rest| rest.split(" end").next()?.split_once(' '));
    let sums = sums.and_then(|(calls, time)| Some((calls.parse().ok()?, time.parse::<f64>().ok()?)));
    let (calls, milliseconds) = sums.ok_or_else(|| io::Error::other("pg_stat_statements gave no sums"))?;
    Ok(Statistics { requests: calls, commands: calls, busy: Some(Duration::from_secs_f64(milliseconds / 1000.0)) })
}
