//! Coordinators publish to one topic, all at once and each one message after the other.

use futures_util::future::try_join_all;

use crate::Failure;
use crate::scale::meter::{Values, per};
use crate::scale::population::{NAME, close, coordinators};
use crate::scale::setting::Setting;

/// How many messages all of them publish together, about.
const MESSAGES: u64 = 500;

pub(in crate::scale) async fn measure(setting: Setting) -> Result<Values, Failure> {
    let meter = setting.meter().await?;
    let clients = coordinators(&meter.context, "publisher", setting.size).await?;
    let each = (MESSAGES / setting.size).max(3);
    let cost = meter.cost(async {
        let publishing = clients.iter().map(|client| async move {
            for _ in 0..each {
                client.topic(NAME).publish(&[b'x'; 100]).await?;
            }
            Ok::<_, Failure>(())
        });
        try_join_all(publishing).await.map(drop)
    });
    let cost = cost.await?;
    close(clients).await;
    Ok(per(cost, (each * setting.size) as f64))
}
