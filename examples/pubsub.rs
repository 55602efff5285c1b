//! Publishes ten messages, reads five of them, and resumes at the sixth without loss or repetition.

use tooz::{Coordinator, Result, StartAt, Subscription};

#[tokio::main]
async fn main() -> Result<()> {
    tooz::scope(tooz_examples::backend_url(), |coordinator| async move { publish_and_read(&coordinator).await }).await
}

async fn publish_and_read(coordinator: &Coordinator) -> Result<()> {
    let topic = coordinator.topic("pubsub-example").keep(1_000);
    let mut subscription = topic.subscribe(StartAt::Latest).await?;
    for number in 1..=10 {
        topic.publish(format!("message {number} of {}", coordinator.member()).as_bytes()).await?;
    }
    print_five(&mut subscription).await?;

    // Store the position with your results, so that a reader that restarts continues from there.
    let position = subscription.position();
    drop(subscription);
    println!("Resuming after offset {position}.");
    print_five(&mut topic.subscribe(StartAt::After(position)).await?).await
}

async fn print_five(subscription: &mut Subscription) -> Result<()> {
    for _ in 0..5 {
        let message = subscription.next().await?;
        println!("{:>3}  {}", message.offset, String::from_utf8_lossy(&message.payload));
    }
    Ok(())
}
