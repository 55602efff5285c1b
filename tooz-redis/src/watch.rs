//! Waiting: for a turn, and for a change of a roster. Notifications wake; a bounded timer stands in for lost ones.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tooz_core::Result;
use tooz_core::driver::{Roster, Snapshot, Ticket, Version};

use crate::bells::News;
use crate::error::not_held;
use crate::layout::parse_record;
use crate::script::{Reply, SNAPSHOT, TURN};
use crate::session::RedisSession;

/// The longest and the shortest time without a look at the server while something is waited for.
const BACKUP: Duration = Duration::from_secs(30);
const LEAST: Duration = Duration::from_millis(20);
/// For how long a look of a watcher has changes published: the next look is never so late.
const WATCHED: Duration = Duration::from_secs(120);

impl RedisSession {
    pub(crate) async fn await_turn_in(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        let (key, nonce, seq) = (self.layout.roster(roster), ticket.nonce.to_string(), ticket.seq.to_string());
        let mut bell = self.feed.bells.listen(&nonce);
        loop {
            let mut reply = self.run(&TURN, &key, &[self.id.as_bytes(), nonce.as_bytes(), seq.as_bytes()]).await?;
            match reply.status() {
                "ADMITTED" => return Ok(()),
                "NONE" => return Err(not_held()),
                "WAITING" => {}
                _ => return Err(reply.unexpected()),
            }
            // A blocker that dies without a word does so at the end of its session's life, and not earlier.
            match ring_or(&mut bell, reply.number()?).await {
                News::Lost => return Err(not_held()),
                // The server said so in the same step in which the blocker left, while our entry stood.
                News::Turn if self.is_surely_alive() => return Ok(()),
                News::Turn | News::Look => {}
            }
        }
    }

    pub(crate) async fn watch_roster(&self, roster: &Roster, newer_than: Option<Version>) -> Result<Snapshot> {
        let Some(version) = newer_than else {
            return self.read_roster(roster, None).await.map(|(snapshot, _)| snapshot);
        };
        self.check_open()?;
        let mut bell = self.feed.hear(&self.layout.roster(roster)).await?;
        loop {
            let (snapshot, least) = self.read_roster(roster, Some(WATCHED)).await?;
            if snapshot.version != version {
                return Ok(snapshot);
            }
            ring_or(&mut bell, least).await;
        }
    }

    /// The roster, and the least remaining life of a session in it, in milliseconds. Whoever watches says for how long
    /// at most, since a lock that nobody else wants is published only where somebody does.
    async fn read_roster(&self, roster: &Roster, watched: Option<Duration>) -> Result<(Snapshot, i64)> {
        let watched = watched.map(|watched| watched.as_millis().to_string());
        let mut args = vec![self.id.as_bytes(), roster.kind.as_str().as_bytes()];
        args.extend(watched.as_ref().map(|watched| watched.as_bytes()));
        parse_snapshot(self.run(&SNAPSHOT, &self.layout.roster(roster), &args).await?)
    }
}

/// Waits for the bell, but not much longer than `life` milliseconds; a negative one means that nothing can die.
/// An elapsed timer and a bell that is gone both mean: look again.
async fn ring_or(bell: &mut watch::Receiver<News>, life: i64) -> News {
    let life = u64::try_from(life).map_or(BACKUP, Duration::from_millis);
    match timeout((life + LEAST).min(BACKUP), bell.changed()).await {
        Ok(Ok(())) => *bell.borrow_and_update(),
        Ok(Err(_)) | Err(_) => News::Look,
    }
}

fn parse_snapshot(mut reply: Reply) -> Result<(Snapshot, i64)> {
    let (declared, least) = (reply.number()? == 1, reply.number()?);
    let mut entries = Vec::new();
    while let (Some(nonce), Some(record)) = (reply.bytes(), reply.bytes()) {
        entries.push(parse_record(&nonce, &record)?);
    }
    entries.sort_unstable_by_key(|entry| entry.seq);
    // The content is its own version: nothing must be counted on the server, and nothing can be lost with it.
    let mut hasher = DefaultHasher::new();
    declared.hash(&mut hasher);
    for entry in &entries {
        (entry.seq, entry.nonce, &entry.value).hash(&mut hasher);
    }
    Ok((Snapshot { version: Version(hasher.finish()), declared, entries }, least))
}
