//! etcd: version, health, and how full the database is.

use std::io;

use super::super::check::Check;
use super::wire::http_get;

/// The share of the quota above which a warning comes: a full etcd refuses every write.
const FULL: f64 = 0.8;

pub(super) async fn examine(address: &str) -> io::Result<Vec<Check>> {
    let version = http_get(address, "/version").await?;
    let version =
        version.split("\"etcdserver\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("unknown");
    let mut checks = vec![Check::ok(format!("server {address}"), format!("etcd {version}"))];
    checks.push(match http_get(address, "/health").await?.contains("\"true\"") {
        true => Check::ok("health", "has a leader and no alarm"),
        false => Check::fail("health", "unhealthy; see `etcdctl endpoint health` and `etcdctl alarm list`"),
    });
    checks.extend(quota(&http_get(address, "/metrics").await?));
    Ok(checks)
}

fn quota(metrics: &str) -> Option<Check> {
    let metric = |name: &str| -> Option<f64> {
        metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
    };
    let quota = metric("etcd_server_quota_backend_bytes")?;
    let size = metric("etcd_mvcc_db_total_size_in_bytes")?;
    let result = format!("{:.0} of {:.0} MiB", size / 1048576.0, quota / 1048576.0);
    match quota > 0.0 && size / quota > FULL {
        true => Some(Check::warn("quota", result, "compact and defragment, or raise --quota-backend-bytes")),
        false => Some(Check::ok("quota", result)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check::Verdict;

    #[test]
    fn a_nearly_full_database_is_a_warning() {
        let metrics = |size: &str| {
            format!(
                "# HELP x\netcd_mvcc_db_total_size_in_bytes {size}\netcd_server_quota_backend_bytes 2.147483648e+09\n"
            )
        };
        assert_eq!(quota(&metrics("20480")).unwrap().verdict, Verdict::Ok);
        assert_eq!(quota(&metrics("2.1e+09")).unwrap().verdict, Verdict::Warn);
        assert_eq!(quota("nothing"), None);
    }
}
