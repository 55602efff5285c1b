//! A candidate joins and leaves the queue of an election whose leader is observed. The leader stays, so no observer has
//! anything to report.

use std::time::Duration;

use tokio::time::sleep;
use tooz_core::driver::Kind;

use crate::Failure;
use crate::scale::meter::{Values, per};
use crate::scale::population::{NAME, Pattern, close, coordinator, coordinators, roster, session};
use crate::scale::setting::Setting;

const ROUNDS: u64 = 10;

/// How long the messages to the observers may take.
const SETTLE: Duration = Duration::from_millis(500);

pub(in crate::scale) async fn measure(setting: Setting) -> Result<Values, Failure> {
    let meter = setting.meter().await?;
    let candidates = session(&setting.context, "candidates").await?;
    let leading = coordinator(&setting.context, "leads").await?;
    let leadership = leading.election(NAME).campaign().await?;
    let pattern = Pattern::of_first(&*candidates, roster(Kind::Election)?).await?;
    pattern.enter(&*candidates, 0..setting.size).await?;
    let clients = coordinators(&meter.context, "observer", setting.watchers).await?;
    let mut observations: Vec<_> = clients.iter().map(|client| client.election(NAME).observe()).collect();
    for observation in &mut observations {
        if observation.next().await?.map(|leader| leader.term) != Some(leadership.term()) {
            return Err(Failure::new("an observer has seen another leader"));
        }
    }
    let cost = meter.cost(async {
        // The observers receive changes only while they wait for one.
        let observing: Vec<_> = observations
            .into_iter()
            .map(|mut observation| tokio::spawn(async move { observation.next().await.map(drop) }))
            .collect();
        for _ in 0..ROUNDS {
            for ticket in pattern.enter(&*candidates, setting.size..setting.size + 1).await? {
                pattern.leave(&*candidates, &ticket).await?;
            }
        }
        sleep(SETTLE).await;
        observing.iter().for_each(tokio::task::JoinHandle::abort);
        Ok(())
    });
    let cost = cost.await?;
    candidates.close().await?;
    close(clients).await;
    leading.close().await;
    Ok(per(cost, (2 * ROUNDS * setting.watchers) as f64))
}
