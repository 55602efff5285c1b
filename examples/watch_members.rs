//! Prints every member that joins, changes or leaves a group, until Ctrl-C. Start several and stop some of them.

use std::time::Duration;

use tokio::time::sleep;
use tooz::{Capabilities, Coordinator, GroupEvent, GroupWatch, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let shutdown = tooz::shutdown()?;
    tooz::scope(tooz_examples::backend_url(), |coordinator| async move {
        shutdown.run_until_cancelled(join_and_watch(&coordinator)).await.unwrap_or(Ok(()))
    })
    .await
}

async fn join_and_watch(coordinator: &Coordinator) -> Result<()> {
    let group = coordinator.group("watch-example");
    group.create_if_missing().await?;
    let membership = group.join(Capabilities::from_iter([("state", "starting")])).await?;
    let update = async {
        sleep(Duration::from_secs(3)).await;
        membership.update(Capabilities::from_iter([("state", "ready")])).await
    };
    tokio::try_join!(print_events(group.watch().await?), update)?;
    Ok(())
}

async fn print_events(mut watch: GroupWatch) -> Result<()> {
    loop {
        match watch.next().await? {
            GroupEvent::Joined(member) => println!("joined   {} {:?}", member.id(), member.capabilities()?),
            GroupEvent::Updated(member) => println!("updated  {} {:?}", member.id(), member.capabilities()?),
            GroupEvent::Left(member) => println!("left     {}", member.id()),
            GroupEvent::Resync => println!("The watch was interrupted; short memberships may be missing."),
            _ => {}
        }
    }
}
