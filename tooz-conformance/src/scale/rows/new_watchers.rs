//! Clients that are connected begin to watch a group, all at once, while nothing changes.

use crate::Failure;
use crate::scale::meter::{Values, per};
use crate::scale::population::{NAME, Pattern, close, coordinator, coordinators, session, watch};
use crate::scale::setting::Setting;

const MEMBERS: u64 = 100;

pub(in crate::scale) async fn measure(setting: Setting) -> Result<Values, Failure> {
    let meter = setting.meter().await?;
    let members = session(&setting.context, "members").await?;
    let creating = coordinator(&setting.context, "creates").await?;
    Pattern::of_member(&creating.group(NAME), &*members).await?.enter(&*members, 0..MEMBERS).await?;
    let clients = coordinators(&meter.context, "watcher", setting.size).await?;
    let mut watches = Vec::new();
    let cost = meter.cost(async {
        watches = watch(&clients, MEMBERS).await?;
        Ok(())
    });
    let cost = cost.await?;
    drop(watches);
    members.close().await?;
    close(clients).await;
    creating.close().await;
    Ok(per(cost, setting.size as f64))
}
