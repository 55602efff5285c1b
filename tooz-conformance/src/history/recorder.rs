//! Records events: in memory or, in a process that may be killed at any moment, as lines of a file.
//!
//! All processes of a run share one clock of the host. It continues while a process believes that its host is suspended.

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

/// Records events. Clones share one record.
#[derive(Clone, Debug)]
pub struct Recorder(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    sink: Mutex<Sink>,
}

#[derive(Debug)]
enum Clock {
    Host,
    /// The clock of the runtime, which a test has paused, since this instant.
    Paused(Instant),
}

#[derive(Debug)]
enum Sink {
    Memory(Vec<Event>),
    File(File),
}

impl Recorder {
    /// Records in memory, on the clock of the host or, if `real_time` is false, on the clock of a paused runtime.
    pub fn in_memory(real_time: bool) -> Self {
        let clock = if real_time { Clock::Host } else { Clock::Paused(Instant::now()) };
        Self::new(clock, Sink::Memory(Vec::new()))
    }

    /// Records as lines of JSON, on the clock of the host. Each line goes to the kernel at once, so it survives a kill.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn in_file(path: &Path) -> io::Result<Self> {
        Ok(Self::new(Clock::Host, Sink::File(File::create(path)?)))
    }

    fn new(clock: Clock, sink: Sink) -> Self {
        Self(Arc::new(Inner { clock, sink: Mutex::new(sink) }))
    }

    /// The current time as events carry it.
    pub fn now(&self) -> u64 {
        match self.0.clock {
            Clock::Host => host_nanos(),
            Clock::Paused(start) => nanos(start.elapsed()),
        }
    }

    /// Converts the time of an event to an instant of the runtime, as long as the host is not suspended.
    pub fn instant(&self, at: u64) -> Instant {
        match self.0.clock {
            Clock::Paused(start) => start + Duration::from_nanos(at),
            Clock::Host => {
                let (instant, now) = (Instant::now(), self.now());
                let past = instant.checked_sub(Duration::from_nanos(now.saturating_sub(at))).unwrap_or(instant);
                past + Duration::from_nanos(at.saturating_sub(now))
            }
        }
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

    /// Records each stall of this process: a time in which it was frozen or starved of processor time. Runs until it is
    /// dropped.
    pub async fn watch_stalls(&self) {
        loop {
            let before = Instant::now();
            sleep(LOOK).await;
            let late = before.elapsed().saturating_sub(LOOK);
            if late > STALL {
                self.note(OUTSIDE, Act::Stalled(nanos(late)));
            }
        }
    }
}

fn host_nanos() -> u64 {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let clock = ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let clock = ClockId::Monotonic;
    let time = clock_gettime(clock);
    nanos(Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default()))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
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
