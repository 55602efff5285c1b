//! A node joins and leaves, and the partitioner of another coordinator changes its ring.

use crate::Failure;
use crate::scale::meter::{Values, per};
use crate::scale::population::{NAME, Pattern, coordinator, session};
use crate::scale::setting::Setting;

const ROUNDS: u64 = 10;

pub(in crate::scale) async fn measure(setting: Setting) -> Result<Values, Failure> {
    let meter = setting.meter().await?;
    let members = session(&setting.context, "members").await?;
    let dividing = coordinator(&meter.context, "divides").await?;
    let joining = coordinator(&setting.context, "joins").await?;
    let group = joining.group(NAME);
    Pattern::of_member(&group, &*members).await?.enter(&*members, 0..setting.size).await?;
    let mut partitioner = dividing.group(NAME).partitioner().await?;
    let cost = meter.cost(async {
        for _ in 0..ROUNDS {
            let membership = group.join(()).await?;
            partitioner.changed().await?;
            membership.leave().await?;
            partitioner.changed().await?;
        }
        Ok(())
    });
    let cost = cost.await?;
    members.close().await?;
    dividing.close().await;
    joining.close().await;
    Ok(per(cost, (2 * ROUNDS) as f64))
}
