//! A hostile neighbour: another client of the same namespace, which writes values that tooz cannot read and leaves dead
//! sessions. It uses the driver's own verbs, so it keeps to the queue like any other client.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tooz_core::driver::{IfBlocked, IfTaken, Key, Kind, Mode, NewEntry, Nonce, Roster, Session, Standing};
use tooz_core::{Error, Name};

use super::client_id::NEIGHBOUR;
use super::environment::Environment;
use super::event::{Act, Op, Request};
use super::recorder::Recorder;
use super::remove::kind;
use super::workload::{OBJECTS, PERMITS, Workload, object_name};

/// How many entries a dead session leaves, and how many values are written at once.
const MANY: usize = 20;

/// The size of a large value, below the limit of every driver.
const LARGE: usize = 30 * 1024;

/// Values that are no entry of tooz: nothing, bytes that are no text, lists nested too deeply to be read, and many zeros.
pub(crate) fn unreadable_values() -> [Vec<u8>; 4] {
    // Eight bytes for the time of joining, then lists of one element each.
    let nested = [&[0; 8][..], &[0x91; 5_000], &[0xc0]].concat();
    [Vec::new(), vec![0xff], nested, vec![0; LARGE]]
}

/// Writes beside the clients of the run, and leaves a dead session. The schedule determines the time only.
pub(super) async fn disturb(workload: Workload, environment: &dyn Environment, recorder: &Recorder) {
    let patience = Duration::from_secs(3);
    // The backend may not have recovered from the previous fault. Then nothing is written.
    let _ = timeout(patience, write(workload, environment, recorder)).await;
    let _ = timeout(patience, leave_a_dead_session(workload, environment)).await;
}

async fn write(workload: Workload, environment: &dyn Environment, recorder: &Recorder) -> Result<(), Error> {
    let session = environment.session().await?;
    let outcome = match workload {
        Workload::Topic => publish(&*session).await,
        Workload::Group => join(&*session, &object_name(0), "foreign").await,
        _ => hold(workload, &*session, recorder).await,
    };
    session.close().await?;
    outcome
}

/// Holds each object for a moment, if it is free.
async fn hold(workload: Workload, session: &dyn Session, recorder: &Recorder) -> Result<(), Error> {
    static OPS: AtomicU32 = AtomicU32::new(0);
    let Some(kind) = kind(workload) else { return Ok(()) };
    let limit = if workload == Workload::Semaphore { PERMITS } else { 1 };
    for (object, value) in (0..OBJECTS).zip(unreadable_values().iter().rev().cycle()) {
        let roster = Roster { kind, name: Name::new(object_name(object))? };
        let op: Op = OPS.fetch_add(1, Ordering::Relaxed);
        let request = Request { object, shared: false, limit, waits: false };
        recorder.note(NEIGHBOUR, Act::Ask(op, request));
        let limit = NonZeroU32::new(limit).unwrap_or(NonZeroU32::MIN);
        let entry = NewEntry { mode: Mode::Exclusive, limit, ..entry(Key::Nonce, value) };
        let Ok(Standing::Admitted(ticket)) = session.enter(&roster, entry).await else {
            recorder.note(NEIGHBOUR, Act::Refused(op));
            continue;
        };
        recorder.note(NEIGHBOUR, Act::Granted(op, ticket.seq.0));
        sleep(Duration::from_millis(20)).await;
        recorder.note(NEIGHBOUR, Act::Leave(op));
        let left = session.leave(&roster, &ticket).await;
        recorder.note(NEIGHBOUR, Act::Left(op, left.ok().filter(|held| *held)));
    }
    Ok(())
}

async fn publish(session: &dyn Session) -> Result<(), Error> {
    let Some(topics) = session.topics() else { return Ok(()) };
    let topic = Name::new(object_name(0))?;
    for number in 0..MANY {
        // Each message is unique, since readers are checked for repetitions.
        let payload = [Nonce::random().0.to_string().as_bytes(), &vec![b'x'; 100 * number]].concat();
        topics.publish(&topic, &payload, u64::from(u32::MAX)).await?;
    }
    Ok(())
}

async fn join(session: &dyn Session, group: &str, id: &str) -> Result<(), Error> {
    let roster = Roster { kind: Kind::Group, name: Name::new(group)? };
    for (number, value) in (0..MANY).zip(unreadable_values().iter().cycle()) {
        let id = format!("{id}-{number}");
        let entry = NewEntry {
            mode: Mode::Member,
            needs_declared: true,
            ..entry(Key::Unique(id.as_bytes(), IfTaken::TakeOver), value)
        };
        session.enter(&roster, entry).await?;
    }
    Ok(())
}

/// The session is dropped, so the backend ends it when its TTL has passed. Its queues are its own, except those of groups.
async fn leave_a_dead_session(workload: Workload, environment: &dyn Environment) -> Result<(), Error> {
    let session = environment.session().await?;
    for (number, value) in (0..MANY).zip(unreadable_values().iter().cycle()) {
        let name = [b"foreign \xff/\0", number.to_string().as_bytes()].concat();
        let roster = Roster { kind: Kind::Lock, name: Name::new(name)? };
        session.enter(&roster, NewEntry { mode: Mode::Exclusive, ..entry(Key::Nonce, value) }).await?;
    }
    if workload == Workload::Group {
        join(&*session, &object_name(0), "dead").await?;
    }
    Ok(())
}

fn entry<'a>(key: Key<'a>, value: &'a [u8]) -> NewEntry<'a> {
    NewEntry {
        nonce: Nonce::random(),
        key,
        mode: Mode::Exclusive,
        limit: NonZeroU32::MIN,
        if_blocked: IfBlocked::Withdraw,
        needs_declared: false,
        value,
    }
}
