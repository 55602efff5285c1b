//! A service that works on one replica at a time. Start several. Stop the leader with Ctrl-C or SIGTERM, and another one takes
//! over at once; kill it with SIGKILL, and another one takes over after the TTL (on files, at once).

use std::time::Duration;

use tokio::time::sleep;
use tooz::{FencingToken, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let shutdown = tooz::shutdown()?;
    tooz::scope(tooz_examples::backend_url(), |coordinator| async move {
        println!("{} is a candidate.", coordinator.member());
        coordinator.election("leader-service").lead(&shutdown, |leadership| serve(leadership.term())).await
    })
    .await
}

/// Dropped as soon as the leadership is lost, or the process is asked to end.
async fn serve(term: FencingToken) -> Result<()> {
    loop {
        println!("This process leads in term {term}.");
        sleep(Duration::from_secs(1)).await;
    }
}
