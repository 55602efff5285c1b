//! Runs the clients of one process to their end.

use futures_util::future::join_all;

use super::kind::Workload;
use super::process_plan::ProcessPlan;
use super::simulated_client::{Connect, SimulatedClient};
use super::{group, lock_client, topic};
use crate::history::client_id::is_observer;
use crate::history::recorder::Recorder;

/// Runs the clients of `plan` to their end.
pub async fn perform(plan: ProcessPlan, connect: Connect, recorder: Recorder) {
    let stalls = {
        let recorder = recorder.clone();
        let real_time = plan.real_time;
        tokio::spawn(async move {
            if real_time {
                recorder.watch_stalls().await;
            }
        })
    };
    let clients = plan.clients.iter().map(|id| {
        let client = SimulatedClient::new(*id, &plan, &connect, &recorder);
        tokio::spawn(play(client))
    });
    for outcome in join_all(clients.collect::<Vec<_>>()).await {
        if let Err(error) = outcome
            && let Ok(panic) = error.try_into_panic()
        {
            stalls.abort();
            std::panic::resume_unwind(panic);
        }
    }
    stalls.abort();
}

async fn play(mut client: SimulatedClient) {
    let client = &mut client;
    match (client.plan.workload, is_observer(client.id)) {
        (Workload::Group, false) => group::join_and_leave(client).await,
        (Workload::Group, true) => group::watch(client).await,
        (Workload::Topic, false) => topic::publish(client).await,
        (Workload::Topic, true) => topic::read(client).await,
        (_, false) => lock_client::acquire_and_release(client).await,
        (_, true) => lock_client::observe(client).await,
    }
}
