//! Clients that publish to a topic, and clients that read it.

use rand::Rng;
use tokio::time::{sleep, timeout_at};
use tooz_core::{ErrorKind, Offset, StartAt};

use super::kind::object_name;
use super::simulated_client::SimulatedClient;
use crate::history::event::Act;

/// Publishes unique messages.
pub(super) async fn publish(client: &mut SimulatedClient) {
    let Some(coordinator) = client.connect(client.until()).await else { return };
    let topic = coordinator.topic(object_name(0));
    while !client.is_over() {
        let number = client.next_op();
        let payload = format!("c{}-{number}", client.id);
        client.recorder.note(client.id, Act::Publish(payload.clone()));
        if let Ok(Ok(offset)) = timeout_at(client.until(), topic.publish(payload.as_bytes())).await {
            client.recorder.note(client.id, Act::Published(payload, offset.0));
        }
        let pause = client.rng.random_range(0.0..0.01);
        sleep(client.ttl().mul_f64(pause)).await;
    }
    coordinator.close().await;
}

/// Reads from the beginning. Sometimes ends the subscription and resumes at its position.
pub(super) async fn read(client: &mut SimulatedClient) {
    let Some(coordinator) = client.connect(client.settled()).await else { return };
    let topic = coordinator.topic(object_name(0));
    let mut position = Offset(0);
    let settled = client.settled();
    let reading = async {
        loop {
            client.recorder.note(client.id, Act::Resumed(position.0));
            let Ok(mut subscription) = topic.subscribe(StartAt::After(position)).await else {
                sleep(client.ttl() / 30).await;
                continue;
            };
            for _ in 0..client.rng.random_range(1..300) {
                match subscription.next().await {
                    Ok(message) => {
                        let payload = String::from_utf8_lossy(&message.payload).into_owned();
                        client.recorder.note(client.id, Act::Read(message.offset.0, payload));
                    }
                    Err(error) if error.kind() == ErrorKind::Gap => {
                        client.recorder.note(client.id, Act::Interrupted(error.to_string()));
                    }
                    Err(error) => return error,
                }
                position = subscription.position();
            }
        }
    };
    let act = match timeout_at(settled, reading).await {
        Ok(error) => Act::UnexpectedError(error.to_string()),
        Err(_) => Act::ObservedToTheEnd,
    };
    client.recorder.note(client.id, act);
    coordinator.close().await;
}
