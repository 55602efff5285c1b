//! Three ZooKeeper servers, against the suite and with one of them failing.

mod support;

use std::process::ExitCode;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tooz_conformance::proxy::{Direction, Proxy};
use tooz_conformance::servers::{Node, zookeeper};
use tooz_conformance::{Context, Failure, Harness, Needs};
use tooz_core::driver::Loss;

use self::support::{Client, at_last, four_letters, lock, soon};

const LIMIT: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let harness = Harness::new(support::named("ensemble"), tooz_zookeeper::DRIVER, zookeeper::ensemble(), support::url);
    tooz_conformance::main(
        support::without_copies(harness)
            .trial("zookeeper::sessions_outlive_the_leader", Needs::OWN_SERVER, sessions_outlive_the_leader)
            .trial("zookeeper::a_frozen_follower_makes_no_second_holder", Needs::OWN_SERVER, a_frozen_follower)
            .trial(
                "zookeeper::a_renewal_after_failures_promises_no_more_than_the_leader_knows",
                Needs::OWN_SERVER,
                a_renewal_after_failures,
            ),
    )
}

/// The leader first.
async fn by_role(context: &Context) -> Result<Vec<&Node>, Failure> {
    let mut nodes: Vec<_> = context.server()?.nodes().iter().collect();
    for at in 0..nodes.len() {
        if four_letters(&nodes[at].address(), "srvr").await?.contains("Mode: leader") {
            nodes.swap(0, at);
        }
    }
    Ok(nodes)
}

async fn sessions_outlive_the_leader(context: Context) -> Result<(), Failure> {
    let ttl = Duration::from_secs(20);
    let (a, b) = (Client::open(&context, ttl, LIMIT).await?, Client::open(&context, ttl, LIMIT).await?);
    let roster = lock("lock");
    let held = a.hold(&roster).await?;
    let turn = b.wait(&roster).await?;
    by_role(&context).await?[0].kill().await?;
    assert!(at_last("leave", || a.session.leave(&roster, &held)).await?, "the session did not survive");
    soon("the admission", turn).await.expect("the task does not panic")?;
    let c = Client::open(&context, ttl, LIMIT).await?;
    let ticket = c.hold(&lock("another")).await?;
    assert!(ticket.seq > held.seq, "the fencing token has decreased");
    Ok(())
}

/// Core reports the loss a tenth of the TTL before the driver does, and must do so before the next waiter is admitted.
async fn is_lost_before(holder: &Client, turn: JoinHandle<tooz_core::Result<()>>) -> Result<(), Failure> {
    let lost = async {
        assert!(matches!(soon("the loss", holder.session.lost()).await, Loss::Session(_)));
        Instant::now()
    };
    let granted = async {
        soon("the admission of the waiter", turn).await.expect("the task does not panic")?;
        Ok::<_, Failure>(Instant::now())
    };
    let (lost, granted) = tokio::join!(lost, granted);
    let (late, margin) = (lost.saturating_duration_since(granted?), holder.session.ttl().unwrap_or_default() / 10);
    assert!(late < margin, "there were two holders for {:?}", late - margin);
    Ok(())
}

/// A follower answers a renewal and freezes before it reports to the leader, which then counts from an earlier renewal.
async fn a_renewal_after_failures(context: Context) -> Result<(), Failure> {
    let nodes = by_role(&context).await?;
    let ttl = Duration::from_secs(6);
    let proxy = Proxy::start(nodes[1].address()).await?;
    let a = Client::open(&context.at(format!("zookeeper://{}", proxy.address())), ttl, LIMIT).await?;
    let b = Client::open(&context.at(format!("zookeeper://{}", nodes[2].address())), ttl, LIMIT).await?;
    a.hold(&lock("lock")).await?;
    let turn = b.wait(&lock("lock")).await?;
    // No renewal arrives for half of the TTL, and then one does.
    proxy.hold(Direction::ToServer);
    sleep(ttl / 2).await;
    proxy.heal().await?;
    at_last("a renewal", || async { timeout(Duration::from_millis(40), a.session.renew()).await.unwrap_or(Ok(())) })
        .await?;
    nodes[1].pause().await?;
    is_lost_before(&a, turn).await?;
    Ok(())
}

async fn a_frozen_follower(context: Context) -> Result<(), Failure> {
    let nodes = by_role(&context).await?;
    let ttl = Duration::from_secs(6);
    let through = |node: &Node| context.at(format!("zookeeper://{}", node.address()));
    let a = Client::open(&through(nodes[1]), ttl, LIMIT).await?;
    let b = Client::open(&through(nodes[2]), ttl, LIMIT).await?;
    a.hold(&lock("lock")).await?;
    let turn = b.wait(&lock("lock")).await?;
    nodes[1].pause().await?;
    is_lost_before(&a, turn).await?;
    nodes[1].resume().await?;
    // The follower catches up before it answers, so the snapshot shows what was written through other servers.
    sleep(Duration::from_millis(200)).await;
    let c = at_last("open", || async {
        Client::open(&through(nodes[1]), ttl, LIMIT)
            .await
            .map_err(|failure| tooz_core::Error::new(tooz_core::ErrorKind::Unavailable, failure.to_string()))
    })
    .await?;
    assert_eq!(c.session.snapshot(&lock("lock"), None).await?.entries.len(), 1);
    Ok(())
}
