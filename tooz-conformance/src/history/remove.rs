//! The fault that removes entries without their owners' knowledge, as an operator may do.

use std::time::Duration;

use tooz_core::Error;
use tooz_core::driver::{Entry, Kind, Roster, Seq, Session};
use tooz_core::{Coordinator, Name};

use super::client_id::{Client, OUTSIDE};
use super::environment::Environment;
use super::event::Act;
use super::fault::{Fault, FaultKind};
use super::recorder::Recorder;
use super::workload::{OBJECTS, PERMITS, Workload, object_name};

/// Evicts the first holder and the last waiter of each queue, or the first member of the group, with the driver's own
/// verb. Each eviction is recorded as a fault of its owner. The schedule determines the time, and the time determines
/// the owner.
pub(super) async fn remove(workload: Workload, environment: &dyn Environment, recorder: &Recorder) {
    let patience = Duration::from_secs(2);
    // The backend may not have recovered from the previous fault. Then nothing is removed.
    let Ok(Ok((session, coordinator))) = tokio::time::timeout(patience, connect(environment)).await else { return };
    for object in 0..OBJECTS {
        let _ = tokio::time::timeout(patience, remove_from(workload, object, &*session, &coordinator, recorder)).await;
    }
    coordinator.close().await;
    let _ = session.close().await;
}

async fn connect(environment: &dyn Environment) -> Result<(Box<dyn Session>, Coordinator), Error> {
    Ok((environment.session().await?, environment.builder("remover").connect().await?))
}

async fn remove_from(
    workload: Workload,
    object: u8,
    session: &dyn Session,
    coordinator: &Coordinator,
    recorder: &Recorder,
) -> Result<(), Error> {
    let Some(kind) = kind(workload) else { return Ok(()) };
    let roster = Roster { kind, name: Name::new(object_name(object))? };
    for (owner, seq) in chosen(workload, object, session, &roster, coordinator).await? {
        let fault = Fault::of(FaultKind::Remove, vec![owner]);
        recorder.note(OUTSIDE, Act::Fault(fault.clone()));
        // After an error the outcome is unknown. The fault is recorded in either case.
        let removed = session.evict(&roster, seq).await;
        if let Ok(true) = removed {
            recorder.note(OUTSIDE, Act::Removed(object, seq.0));
        }
        recorder.note(OUTSIDE, Act::Healed(fault));
        removed?;
    }
    Ok(())
}

async fn chosen(
    workload: Workload,
    object: u8,
    session: &dyn Session,
    roster: &Roster,
    coordinator: &Coordinator,
) -> Result<Vec<(Client, Seq)>, Error> {
    if workload == Workload::Group {
        let entries = session.snapshot(roster, None).await?.entries;
        let owner = |entry: &Entry| client(entry.key.as_deref()?).map(|client| (client, entry.seq));
        return Ok(entries.first().and_then(owner).into_iter().collect());
    }
    let name = object_name(object);
    let queue = match workload {
        Workload::Election => coordinator.election(name).inspect().await?,
        Workload::Semaphore => coordinator.semaphore(name, PERMITS).inspect().await?,
        _ => coordinator.lock(name).inspect().await?,
    };
    let chosen = queue.holders.first().into_iter().chain(queue.waiters.last());
    Ok(chosen.filter_map(|one| Some((client(one.member.as_bytes())?, Seq(one.token.0)))).collect())
}

/// The kind of the rosters that a workload uses.
pub(super) fn kind(workload: Workload) -> Option<Kind> {
    match workload {
        Workload::Lock | Workload::SharedLock => Some(Kind::Lock),
        Workload::Semaphore => Some(Kind::Semaphore),
        Workload::Election => Some(Kind::Election),
        Workload::Group => Some(Kind::Group),
        Workload::Topic => None,
    }
}

/// The client with this member name.
fn client(member: &[u8]) -> Option<Client> {
    std::str::from_utf8(member).ok()?.strip_prefix('c')?.parse().ok()
}
