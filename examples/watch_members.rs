//! Prints who joins and leaves a group until Ctrl-C. Start several, update, kill some.

use std::time::Duration;

use tokio::time::sleep;
use tooz_core::{Capabilities, GroupEvent, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let coordinator = tooz_examples::connect().await?;
    let group = coordinator.group("watch-example");
    group.create_if_missing().await?;
    let membership = group.join(Capabilities::from_iter([("mood", "fresh")])).await?;
    let mut watch = group.watch().await?;
    let watching = async {
        loop {
            match watch.next().await? {
                GroupEvent::Joined(member) => println!("+ {} {:?}", member.id(), member.capabilities()?),
                GroupEvent::Left(member) => println!("- {}", member.id()),
                GroupEvent::Updated(member) => println!("~ {} {:?}", member.id(), member.capabilities()?),
                GroupEvent::Resync => println!("  (the view was interrupted)"),
                _ => {}
            }
        }
    };
    let updating = async {
        sleep(Duration::from_secs(3)).await;
        membership.update(Capabilities::from_iter([("mood", "tired")])).await?;
        tokio::signal::ctrl_c().await.map_err(|error| {
            tooz_core::Error::new(tooz_core::ErrorKind::Unexpected, "failed to wait for Ctrl-C").with_source(error)
        })
    };
    let ended: Result<()> = tokio::select! { ended = watching => ended, ended = updating => ended };
    membership.leave().await?;
    coordinator.close().await;
    ended
}
