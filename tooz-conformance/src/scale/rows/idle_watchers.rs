//! Clients watch a group in which nothing changes. They send only renewals, and the requests with which a driver checks
//! that notifications arrive.

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
    let watches = watch(&clients, MEMBERS).await?;
    let rate = meter.rate().await?;
    drop(watches);
    members.close().await?;
    close(clients).await;
    creating.close().await;
    Ok(per(rate, setting.size as f64))
}
