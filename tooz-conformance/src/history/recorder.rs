//! Records events: in memory or, in a process that may be killed at any moment, as lines of a file.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, sleep};

use super::client_id::{Client, OUTSIDE};
use super::event::{Act, Event};

/// How often a process checks whether it was stopped, and the least delay that counts as a stall.
const LOOK: Duration = Duration::from_millis(10);
const STALL: Duration = Duration::from_millis(60);
/// The greatest difference in nanoseconds between the clocks of two processes in a record.
const SKEW: u64 = 20_000;

/// Records events. Clones share one record.
#[derive(Clone, Debug)]
pub struct Recorder(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    epoch: Instant,
    epoch_nanos: u64,
    sink: Mutex<Sink>,
}

#[derive(Debug)]
enum Sink {
    Memory(Vec<Event>),
    File(File),
}

impl Recorder {
    /// Records in memory.
    pub fn in_memory() -> Self {
        Self::new(Sink::Memory(Vec::new()))
    }

    /// Records as lines of JSON. Each line goes to the kernel at once, so it survives a kill.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn in_file(path: &Path) -> io::Result<Self> {
        Ok(Self::new(Sink::File(File::create(path)?)))
    }

    fn new(sink: Sink) -> Self {
        // A stop between the two clock readings would date all later events too early.
        let (epoch, epoch_nanos) = loop {
            let (before, epoch, after) = (monotonic_nanos(), Instant::now(), monotonic_nanos());
            if after - before < SKEW {
                break (epoch, before);
            }
        };
        Self(Arc::new(Inner { epoch, epoch_nanos, sink: Mutex::new(sink) }))
    }

    /// The current time as events carry it: the monotonic clock of the host, or the runtime's clock if that is paused.
    pub fn now(&self) -> u64 {
        let since = u64::try_from(self.0.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.epoch_nanos.saturating_add(since)
    }

    /// Converts the time of an event to an instant of the runtime.
    pub fn instant(&self, at: u64) -> Instant {
        self.0.epoch + Duration::from_nanos(at.saturating_sub(self.0.epoch_nanos))
    }

    /// Records an event that happens now.
    pub fn note(&self, client: Client, act: Act) {
        self.note_at(self.now(), client, act);
    }

    /// Records an event that happened at the time `at`.
    pub fn note_at(&self, at: u64, client: Client, act: Act) {
        let event = Event { at, client, act };
        match &mut *self.0.sink.lock().unwrap_or_else(PoisonError::into_inner) {
            Sink::Memory(events) => events.push(event),
            Sink::File(file) => {
                let mut line = serde_json::to_string(&event).expect("events have no maps with odd keys");
                line.push('\n');
                // A full disk shows as a history that ends early.
                let _ = file.write_all(line.as_bytes());
            }
        }
    }

    /// Takes the events that were recorded in memory.
    pub fn take(&self) -> Vec<Event> {
        match &mut *self.0.sink.lock().unwrap_or_else(PoisonError::into_inner) {
            Sink::Memory(events) => std::mem::take(events),
            Sink::File(_) => Vec::new(),
        }
    }

    /// Records each stall of this process: a time in which it was frozen or did not get the processor. Runs until it is
    /// dropped.
    pub async fn watch_stalls(&self) {
        loop {
            let before = Instant::now();
            sleep(LOOK).await;
            let late = before.elapsed().saturating_sub(LOOK);
            if late > STALL {
                self.note(OUTSIDE, Act::Stalled(u64::try_from(late.as_nanos()).unwrap_or(u64::MAX)));
            }
        }
    }
}

fn monotonic_nanos() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let nanos = Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default()).as_nanos();
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

/// Reads the record of a process. An incomplete last line is left out.
///
/// # Errors
/// The file cannot be read.
pub fn read_file(path: &Path) -> io::Result<Vec<Event>> {
    let mut events = Vec::new();
    for line in BufReader::new(File::open(path)?).lines() {
        match serde_json::from_str(&line?) {
            Ok(event) => events.push(event),
            Err(_) => break,
        }
    }
    Ok(events)
}
