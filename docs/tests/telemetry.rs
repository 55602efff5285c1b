//! The dashboard shows metrics that are described and recorded, and spans carry the fields of OpenTelemetry.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use tooz::memory::Server;
use tooz::{Coordinator, Result, StartAt};

const DASHBOARD: &str = include_str!("../telemetry/dashboard.json");

/// Keeps the names of the metrics that are described and recorded.
#[derive(Clone, Default)]
struct Names {
    described: Arc<Mutex<BTreeSet<String>>>,
    recorded: Arc<Mutex<BTreeSet<String>>>,
}

impl Names {
    fn describe(&self, name: &KeyName) {
        self.described.lock().unwrap().insert(name.as_str().to_owned());
    }

    fn record(&self, key: &Key) {
        self.recorded.lock().unwrap().insert(key.name().to_owned());
    }
}

impl Recorder for Names {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&name);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&name);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&name);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.record(key);
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.record(key);
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.record(key);
        Histogram::noop()
    }
}

/// The names in the dashboard, without the suffixes that Prometheus adds to a histogram.
fn names_in_dashboard() -> BTreeSet<String> {
    let words = DASHBOARD.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = words.filter(|word| word.starts_with("tooz_"));
    names.map(|name| name.trim_end_matches("_bucket").to_owned()).collect()
}

fn on_one_thread(work: impl Future<Output = Result<()>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(work).unwrap();
}

/// Uses a lock and a topic, and loses a session.
async fn work() -> Result<()> {
    let coordinator = Coordinator::builder("memory://telemetry").member("a").connect().await?;
    let guard = coordinator.lock("l").acquire().await?;
    let mut subscription = coordinator.topic("t").subscribe(StartAt::Latest).await?;
    coordinator.topic("t").publish(b"hello").await?;
    subscription.next().await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    guard.release().await?;
    let guard = coordinator.lock("l").acquire().await?;
    Server::named("telemetry").expire("a");
    guard.lost().await;
    drop(guard);
    coordinator.lock("l").acquire().await?.release().await?;
    coordinator.close().await;
    Ok(())
}

#[test]
fn the_dashboard_shows_what_is_described_and_recorded() {
    let names = Names::default();
    metrics::with_local_recorder(&names, || on_one_thread(work()));
    let (described, recorded) = (names.described.lock().unwrap(), names.recorded.lock().unwrap());
    let shown = names_in_dashboard();
    assert_eq!(*described, *recorded, "described and recorded");
    assert_eq!(*described, shown, "described and shown");
    let telemetry = include_str!("../../tooz-core/src/telemetry.rs");
    for name in &shown {
        assert!(telemetry.contains(&format!("| `{name}` |")), "{name} is not in the table of tooz_core::telemetry");
    }
}

/// A writer that several threads may use.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn spans_and_events_have_the_fields_of_opentelemetry() {
    let log = Shared::default();
    let writer = log.clone();
    let spans = tracing_subscriber::fmt::format::FmtSpan::CLOSE;
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).with_span_events(spans).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, || {
        on_one_thread(async {
            let coordinator = Coordinator::builder("memory://spans").member("a").connect().await?;
            let leadership = coordinator.election("e").campaign().await?;
            assert!(coordinator.lock("").acquire().await.is_err());
            leadership.resign().await?;
            coordinator.close().await;
            Ok(())
        });
    });
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for part in ["otel.name=election.campaign otel.kind=\"client\"", "elected", "resigned", "state=Closed"] {
        assert!(log.contains(part), "{part} is missing in:\n{log}");
    }
    let failed = log.lines().find(|line| line.contains("error.type=InvalidName")).unwrap();
    assert!(failed.contains("otel.status_code=\"ERROR\""), "{failed}");
}
