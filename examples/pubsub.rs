//! Publishes ten messages, reads five, and resumes after the fifth without loss or repetition.

use tooz_core::{Result, StartAt};

#[tokio::main]
async fn main() -> Result<()> {
    let coordinator = tooz_examples::connect().await?;
    let topic = coordinator.topic("pubsub-example").keep(1_000);
    let mut subscription = topic.subscribe(StartAt::Latest).await?;
    for number in 1..=10 {
        topic.publish(format!("message {number} of {}", coordinator.member()).as_bytes()).await?;
    }
    for _ in 0..5 {
        let message = subscription.next().await?;
        println!("{:>3}  {}", message.offset, String::from_utf8_lossy(&message.payload));
    }
    // Store this with your results: a reader that starts again goes on from here.
    let position = subscription.position();
    drop(subscription);

    println!("resuming after {position}");
    let mut resumed = topic.subscribe(StartAt::After(position)).await?;
    for _ in 0..5 {
        let message = resumed.next().await?;
        println!("{:>3}  {}", message.offset, String::from_utf8_lossy(&message.payload));
    }
    coordinator.close().await;
    Ok(())
}
