//! A permit of a semaphore is released and granted to the contender that has waited longest. A third of the contenders hold
//! permits; they share a few sessions.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::Failure;
use crate::scale::meter::{Values, per};
use crate::scale::population::{NAME, close, coordinator, coordinators};
use crate::scale::setting::Setting;

const SESSIONS: u64 = 10;
const HAND_OVERS: u64 = 6;
const PATIENCE: Duration = Duration::from_secs(60);

pub(in crate::scale) async fn measure(setting: Setting) -> Result<Values, Failure> {
    let meter = setting.meter().await?;
    let clients = coordinators(&meter.context, "contender", SESSIONS.min(setting.size)).await?;
    let permits = setting.size / 3;
    let (granted, mut grants) = mpsc::unbounded_channel();
    let mut contending = JoinSet::new();
    for client in clients.iter().cycle().take(usize::try_from(setting.size)?) {
        let (semaphore, granted) = (client.semaphore(NAME, u32::try_from(permits)?), granted.clone());
        contending.spawn(async move { granted.send(semaphore.acquire().await) });
    }
    let mut next = async || -> Result<_, Failure> {
        let grant = timeout(PATIENCE, grants.recv()).await;
        let grant = grant.map_err(|_| Failure::new(format!("no permit was granted for {PATIENCE:?}")))?;
        Ok(grant.ok_or_else(|| Failure::new("no contender is left"))??)
    };
    let mut guards = VecDeque::new();
    for _ in 0..permits {
        guards.push_back(next().await?);
    }
    let inspected = coordinator(&setting.context, "inspects").await?;
    let waiters = usize::try_from(setting.size - permits)?;
    let semaphore = inspected.semaphore(NAME, u32::try_from(permits)?);
    while semaphore.inspect().await?.waiters.len() < waiters {
        sleep(Duration::from_millis(50)).await;
    }
    let cost = meter.cost(async {
        for _ in 0..HAND_OVERS {
            let Some(guard) = guards.pop_front() else { return Err(Failure::new("no permit is held")) };
            guard.release().await?;
            guards.push_back(next().await?);
        }
        Ok(())
    });
    let cost = cost.await?;
    contending.shutdown().await;
    drop(guards);
    close(clients).await;
    inspected.close().await;
    Ok(per(cost, HAND_OVERS as f64))
}
