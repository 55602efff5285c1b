//! Printing the checks.

use std::time::Instant;

use clap::Args;

use super::check::{Check, Verdict};
use super::examine::examine;
use super::server;
use crate::backend::Backend;
use crate::commands::session::with_session;
use crate::exit::{NO, Result, UNAVAILABLE};
use crate::output::{Printer, Table, say};

/// Examines the backend: connection, round trips, permissions, settings of the server, clock, guarantees.
///
/// It says what to change. The exit code is 1 if something does not work; a warning changes nothing. If no session can be
/// opened, only the server is examined.
#[derive(Args, Debug)]
pub(crate) struct Doctor {}

impl Doctor {
    pub(crate) async fn run(&self, backend: &Backend, printer: Printer) -> Result<u8> {
        let url = backend.parsed()?;
        say("started", format!("examining {url}"));
        let started = Instant::now();
        let examined =
            with_session(backend, async |coordinator| Ok(examine(coordinator, &url, started.elapsed()).await)).await;
        let (checks, failure) = match examined {
            Ok(checks) => (checks, None),
            // What the server says about itself may show why it refuses.
            Err(failure) if failure.code == UNAVAILABLE => (server::examine(&url).await, Some(failure)),
            Err(failure) => return Err(failure),
        };
        printer.table(&checks, || table(&checks))?;
        let has_failed = checks.iter().any(|check| check.verdict == Verdict::Fail);
        failure.map_or(Ok(if has_failed { NO } else { 0 }), Err)
    }
}

fn table(checks: &[Check]) -> Table {
    let mut table = Table::new(&["", "CHECK", "RESULT"]);
    for check in checks {
        table.push([check.verdict.to_string(), check.subject.clone(), check.result.clone()]);
        if let Some(advice) = &check.advice {
            table.push([String::new(), String::new(), format!("-> {advice}")]);
        }
    }
    table
}
