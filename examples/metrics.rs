//! Serves metrics for Prometheus and prints spans and events. Open http://127.0.0.1:9000/metrics while it runs.

use std::error::Error;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};

/// Bounds of the buckets of histograms, in seconds.
const BUCKETS: [f64; 8] = [0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().init();
    let metrics = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Prefix("tooz_".to_owned()), &BUCKETS)?;
    metrics.with_http_listener(([127, 0, 0, 1], 9000)).install()?;

    let shutdown = tooz::shutdown()?;
    tooz::scope(tooz_examples::backend_url(), |coordinator| async move {
        let lock = coordinator.lock("metrics-example");
        while !shutdown.is_cancelled() {
            let guard = lock.acquire().await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
            guard.release().await?;
        }
        Ok(())
    })
    .await
}
