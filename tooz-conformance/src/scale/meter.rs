//! What work costs: requests by the statistics of the servers, bytes by a proxy, and time.
//!
//! Sessions cause requests even if nothing happens. The meter counts these for a while before and after the work, and
//! subtracts their share from the cost of the work.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::proxy::Proxies;
use crate::{Context, Failure};

/// Quantities by name. Those that a backend does not have are absent.
pub(crate) type Values = Vec<(&'static str, f64)>;

/// The quantity that rises by itself.
const ELAPSED: &str = "elapsed µs";

/// How long idle sessions are counted. Some drivers send something every 2 s.
const IDLE: Duration = Duration::from_millis(2100);

/// Counts the requests, bytes and time of the clients of a context.
#[derive(Debug)]
pub(crate) struct Meter {
    /// Clients that connect here are counted.
    pub(crate) context: Context,
    proxies: Option<Proxies>,
    start: Instant,
}

impl Meter {
    /// Puts a proxy before the servers of the context, if it has servers.
    pub(crate) async fn start(direct: &Context) -> Result<Self, Failure> {
        let (context, proxies) = match direct.proxied().await {
            Ok((context, proxies)) => (context, Some(proxies)),
            Err(failure) if failure.is_ignored() => (direct.clone(), None),
            Err(failure) => return Err(failure),
        };
        Ok(Self { context, proxies, start: Instant::now() })
    }

    /// What the work costs in addition to the same time without it.
    pub(crate) async fn cost(&self, work: impl Future<Output = Result<(), Failure>>) -> Result<Values, Failure> {
        let idle_before = self.rate().await?;
        let before = self.read().await?;
        work.await?;
        let mut cost = difference(&self.read().await?, &before);
        let idle_after = self.rate().await?;
        let seconds = cost.iter().find(|(name, _)| *name == ELAPSED).map_or(0.0, |(_, elapsed)| elapsed / 1e6);
        for (((name, value), (_, earlier)), (_, later)) in cost.iter_mut().zip(idle_before).zip(idle_after) {
            if *name != ELAPSED {
                // The smaller one, since the preparation or a renewal may have fallen into the other.
                *value = (*value - earlier.min(later) * seconds).max(0.0);
            }
        }
        Ok(cost)
    }

    /// What happens in a second without any work.
    pub(crate) async fn rate(&self) -> Result<Values, Failure> {
        let before = self.read().await?;
        sleep(IDLE).await;
        let spent = difference(&self.read().await?, &before);
        Ok(per(spent, IDLE.as_secs_f64()))
    }

    /// All counters at this moment.
    async fn read(&self) -> Result<Values, Failure> {
        let mut values = Values::new();
        if let Some(statistics) = self.context.statistics().await? {
            values.push(("requests", statistics.requests as f64));
            values.push(("commands", statistics.commands as f64));
            values.extend(statistics.busy.map(|busy| ("server µs", busy.as_secs_f64() * 1e6)));
        }
        if let Some(traffic) = self.proxies.as_ref().map(Proxies::traffic) {
            values.push(("bytes sent", traffic.bytes_to_server as f64));
            values.push(("bytes received", traffic.bytes_to_client as f64));
        }
        values.push(("client µs", processor_time().as_secs_f64() * 1e6));
        values.push((ELAPSED, self.start.elapsed().as_secs_f64() * 1e6));
        Ok(values)
    }
}

/// Divides each quantity.
pub(crate) fn per(mut values: Values, count: f64) -> Values {
    values.iter_mut().for_each(|(_, value)| *value /= count);
    values
}

fn difference(after: &Values, before: &Values) -> Values {
    after.iter().zip(before).map(|((name, after), (_, before))| (*name, after - before)).collect()
}

/// The processor time of all threads of this process, which include the proxy.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
