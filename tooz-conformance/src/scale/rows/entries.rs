//! All members of a group are read.

use crate::Failure;
use crate::scale::meter::{Values, per};
use crate::scale::population::{NAME, Pattern, coordinator, session};
use crate::scale::setting::Setting;

const READS: u64 = 5;

pub(in crate::scale) async fn measure(setting: Setting) -> Result<Values, Failure> {
    let meter = setting.meter().await?;
    let members = session(&setting.context, "members").await?;
    let reading = coordinator(&meter.context, "reads").await?;
    let group = reading.group(NAME);
    Pattern::of_member(&group, &*members).await?.enter(&*members, 0..setting.size).await?;
    let cost = meter.cost(async {
        for _ in 0..READS {
            let count = group.members().await?.len() as u64;
            if count != setting.size {
                return Err(Failure::new(format!("{count} members were read, not {}", setting.size)));
            }
        }
        Ok(())
    });
    let cost = cost.await?;
    members.close().await?;
    reading.close().await;
    Ok(per(cost, READS as f64))
}
