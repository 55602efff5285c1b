//! Clients that publish to a topic, and those who read it.

use rand::Rng;
use tokio::time::{sleep, timeout_at};
use tooz_core::{Offset, StartAt};

use super::event::Act;
use super::part::{Player, object_name};

/// Publishes messages that nobody else publishes.
pub(super) async fn publish(player: &mut Player) {
    let Some(coordinator) = player.connect(player.until()).await else { return };
    let topic = coordinator.topic(object_name(0));
    while !player.is_over() {
        let number = player.next_op();
        let payload = format!("c{}-{number}", player.id);
        player.recorder.note(player.id, Act::Publish(payload.clone()));
        if let Ok(Ok(offset)) = timeout_at(player.until(), topic.publish(payload.as_bytes())).await {
            player.recorder.note(player.id, Act::Published(payload, offset.0));
        }
        let pause = player.rng.random_range(0.0..0.01);
        sleep(player.ttl().mul_f64(pause)).await;
    }
    coordinator.close().await;
}

/// Reads everything from the beginning, and now and then ends and resumes where it stopped.
pub(super) async fn read(player: &mut Player) {
    let Some(coordinator) = player.connect(player.settled()).await else { return };
    let topic = coordinator.topic(object_name(0));
    let mut position = Offset(0);
    let settled = player.settled();
    let reading = async {
        loop {
            let Ok(mut subscription) = topic.subscribe(StartAt::After(position)).await else {
                sleep(player.ttl() / 30).await;
                continue;
            };
            for _ in 0..player.rng.random_range(1..300) {
                match subscription.next().await {
                    Ok(message) => {
                        let payload = String::from_utf8_lossy(&message.payload).into_owned();
                        player.recorder.note(player.id, Act::Read(message.offset.0, payload));
                    }
                    Err(error) => return error,
                }
                position = subscription.position();
            }
        }
    };
    let act = match timeout_at(settled, reading).await {
        Ok(error) => Act::Broken(error.to_string()),
        Err(_) => Act::LookedOn,
    };
    player.recorder.note(player.id, act);
    coordinator.close().await;
}
