//! The fault that forks a client process: its copies connect anew and run further clients beside their parent, as the
//! workers of a pre-forking server do.
//!
//! A copy has only the thread that forked. It never uses the runtime of its parent, which would wait for the missing
//! threads. It starts its own runtime in a new thread.

use std::path::PathBuf;
use std::process::exit;
use std::time::Duration;

use fork::{Fork, fork, waitpid_nohang};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::recorder::Recorder;
use super::workload::{Connect, ProcessPlan, perform};
use crate::Failure;

/// How many copies a process makes at once. They begin in the same state, random generators included.
pub(super) const COPIES: usize = 2;

/// What a copy does.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ForkOrder {
    pub(super) plan: ProcessPlan,
    pub(super) record: PathBuf,
}

/// Forks this process once for each order, and returns the process ids of the copies.
pub(super) fn fork_clients(orders: Vec<ForkOrder>, connect: &Connect) -> Result<Vec<i32>, Failure> {
    orders.into_iter().map(|order| fork_client(order, connect.clone())).collect()
}

fn fork_client(order: ForkOrder, connect: Connect) -> Result<i32, Failure> {
    match fork()? {
        Fork::Parent(copy) => Ok(copy),
        Fork::Child => {
            let clients = std::thread::spawn(move || run_clients(order, connect));
            exit(i32::from(!matches!(clients.join(), Ok(Ok(())))))
        }
    }
}

fn run_clients(order: ForkOrder, connect: Connect) -> Result<(), Failure> {
    let recorder = Recorder::in_file(&order.record)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(perform(order.plan, connect, recorder));
    runtime.shutdown_background();
    Ok(())
}

/// Waits for a copy. A copy that does not end, because it waits for a thread that it lacks, is killed: its session then
/// expires like that of any dead process.
pub(super) async fn wait_for_copy(copy: i32, limit: Instant) {
    let mut killed = false;
    while let Ok(None) = waitpid_nohang(copy) {
        if !killed && Instant::now() > limit {
            killed = true;
            let _ = Pid::from_raw(copy).map(|pid| kill_process(pid, Signal::KILL));
        }
        sleep(Duration::from_millis(20)).await;
    }
}
