//! A member joins and leaves a group, and each watcher receives both changes. Each watcher has a session of its own; the
//! other members share one.

use crate::Failure;
use crate::scale::meter::{Values, per};
use crate::scale::population::{NAME, Pattern, close, coordinator, coordinators, receive, session, watch};
use crate::scale::setting::Setting;

const ROUNDS: u64 = 10;

pub(in crate::scale) async fn measure(setting: Setting) -> Result<Values, Failure> {
    let meter = setting.meter().await?;
    let members = session(&setting.context, "members").await?;
    let clients = coordinators(&meter.context, "watcher", setting.watchers).await?;
    let joining = coordinator(&setting.context, "joins").await?;
    let group = joining.group(NAME);
    Pattern::of_member(&group, &*members).await?.enter(&*members, 0..setting.size).await?;
    let mut watches = watch(&clients, setting.size).await?;
    let cost = meter.cost(async {
        for _ in 0..ROUNDS {
            let membership = group.join(()).await?;
            for watch in &mut watches {
                receive(watch, 1, 0).await?;
            }
            membership.leave().await?;
            for watch in &mut watches {
                receive(watch, 0, 1).await?;
            }
        }
        Ok(())
    });
    let cost = cost.await?;
    drop(watches);
    members.close().await?;
    close(clients).await;
    joining.close().await;
    Ok(per(cost, (2 * ROUNDS * setting.watchers) as f64))
}
