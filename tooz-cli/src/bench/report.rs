//! The bounds of the measurement, and printing its figures.

use std::time::Duration;

use clap::Args;
use tokio::sync::OnceCell;
use tooz::Coordinator;

use super::figure::Figure;
use super::load;
use crate::arguments::duration;
use crate::backend::Backend;
use crate::commands::session::with_cleanup;
use crate::exit::{Failure, Result, USAGE};
use crate::output::{Printer, Table};

/// The longest time of one part: a benchmark must not become a load test of a server in use.
const LONGEST: Duration = Duration::from_secs(60);

/// Measures locks, hand-overs and messages on your backend, with few clients and for a short time.
///
/// It uses names of its own that begin with tooz-bench, two sessions, and for the time of each part as much of the
/// server as this many clients can. Only the topic tooz-bench with its last 100 messages stays behind.
#[derive(Args, Debug)]
pub(crate) struct Bench {
    /// How many clients acquire locks at the same time.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    clients: u32,
    /// How long each of the three parts takes; at most 60s.
    #[arg(long, value_parser = duration, default_value = "2s", value_name = "TIME")]
    time: Duration,
}

impl Bench {
    pub(crate) async fn run(&self, backend: &Backend, printer: Printer) -> Result<u8> {
        if self.time > LONGEST {
            return Err(Failure::new(USAGE, "--time is at most 60s"));
        }
        let second = OnceCell::new();
        let work = async |first: &Coordinator| {
            let second = second.get_or_try_init(|| backend.connect()).await?;
            let figures = self.measure(first, second).await?;
            printer.table(&figures, || table(&figures))?;
            Ok(0)
        };
        let clean_up = async |_: &Coordinator| {
            if let Some(second) = second.get() {
                second.close().await;
            }
        };
        with_cleanup(backend, work, clean_up).await
    }

    async fn measure(&self, first: &Coordinator, second: &Coordinator) -> Result<Vec<Figure>> {
        Ok(vec![
            load::uncontended(first, self.clients, self.time).await?,
            load::hand_over(first, second, self.time).await?,
            load::publish(first, second, self.time).await?,
        ])
    }
}

fn table(figures: &[Figure]) -> Table {
    let mut table = Table::new(&["OPERATION", "COUNT", "PER SECOND", "P50", "P99", "MAX"]);
    for figure in figures {
        let [p50, p99, max] =
            [figure.p50_us, figure.p99_us, figure.max_us].map(|us| format!("{:.2?}", Duration::from_micros(us)));
        let rate = format!("{:.0}", figure.per_second);
        table.push([figure.operation.to_owned(), figure.count.to_string(), rate, p50, p99, max]);
    }
    table
}
