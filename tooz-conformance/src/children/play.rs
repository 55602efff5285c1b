//! Plays a role if this process is a child.

use std::env;
use std::io::BufRead;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::sync::mpsc::unbounded_channel;

use super::protocol::{Assignment, VARIABLE};
use super::role::ChildContext;
use crate::{Failure, Harness, Target};

/// Plays the assigned role if this process is a child. Returns `None` in a parent.
pub(crate) fn play_role(harness: &Harness) -> Option<ExitCode> {
    let assignment = env::var(VARIABLE).ok()?;
    match play(harness, &assignment) {
        Ok(()) => Some(ExitCode::SUCCESS),
        Err(failure) => {
            eprintln!("child: {failure}");
            Some(ExitCode::FAILURE)
        }
    }
}

fn play(harness: &Harness, assignment: &str) -> Result<(), Failure> {
    let assignment: Assignment = serde_json::from_str(assignment)?;
    let role = harness.roles.iter().find(|role| role.name == assignment.role);
    let role = role.ok_or_else(|| Failure::new(format!("the harness has no role {}", assignment.role)))?;
    let target = Target {
        driver: harness.subject.driver,
        url: assignment.url,
        namespace: assignment.namespace,
        ttl: assignment.ttl,
    };
    let (sender, lines) = unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
        // The parent has ended, so the child ends too.
        std::process::exit(0);
    });
    let context = ChildContext { target, args: assignment.args, lines: Arc::new(Mutex::new(lines)) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on((role.play)(context));
    runtime.shutdown_background();
    outcome
}
