//! All subscribers of one coordinator receive each message that another one publishes.

use futures_util::future::try_join_all;
use tooz_core::StartAt;

use crate::Failure;
use crate::scale::meter::{Values, per};
use crate::scale::population::{NAME, coordinator};
use crate::scale::setting::Setting;

const MESSAGES: u64 = 10;

pub(in crate::scale) async fn measure(setting: Setting) -> Result<Values, Failure> {
    let meter = setting.meter().await?;
    let (reading, writing) =
        (coordinator(&meter.context, "reads").await?, coordinator(&setting.context, "writes").await?);
    let topic = reading.topic(NAME);
    let published_to = writing.topic(NAME);
    let mut subscriptions = try_join_all((0..setting.size).map(|_| topic.subscribe(StartAt::Latest))).await?;
    let cost = meter.cost(async {
        for _ in 0..MESSAGES {
            let published = published_to.publish(&[b'x'; 100]);
            let received = try_join_all(subscriptions.iter_mut().map(|subscription| subscription.next()));
            let (offset, received) = futures_util::future::try_join(published, received).await?;
            if received.iter().any(|message| message.offset != offset) {
                return Err(Failure::new("a subscriber received another message than the last one"));
            }
        }
        Ok(())
    });
    let cost = cost.await?;
    reading.close().await;
    writing.close().await;
    Ok(per(cost, MESSAGES as f64))
}
