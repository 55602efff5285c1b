//! One reader of a roster for all who watch it through one session, so that a change is read once, however many they are.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use tokio::sync::{Notify, watch};

use crate::driver::{Roster, Snapshot};
use crate::live::Live;
use crate::{Error, ErrorKind, Result};

/// What the reader has seen last. It reads one thing after the other, so nobody is ever shown an older state than before;
/// and it reads only while somebody asks.
#[derive(Debug)]
pub(crate) struct View {
    state: watch::Receiver<State>,
    wishes: Arc<Wishes>,
}

#[derive(Debug, Default)]
struct State {
    /// How many wishes for a look from now on have been granted.
    granted: u64,
    /// Rises with every change.
    generation: u64,
    outcome: Option<Result<Arc<Snapshot>, Error>>,
}

/// What those who watch wait for.
#[derive(Debug, Default)]
struct Wishes {
    /// Who begins to watch wants a look that began no earlier: how many did.
    looks: AtomicU64,
    look: Notify,
    /// The greatest generation that somebody waits for.
    generation: AtomicU64,
    change: Notify,
}

impl View {
    /// Starts a reader that ends with the session, or when nobody holds the view any more. It runs where the session
    /// does, since those who watch may do so in runtimes of shorter life.
    pub(crate) fn start(live: Arc<Live>, roster: Arc<Roster>) -> Arc<Self> {
        let (sender, state) = watch::channel(State::default());
        let wishes = Arc::<Wishes>::default();
        live.runtime.clone().spawn(read(live, roster, wishes.clone(), sender));
        Arc::new(Self { state, wishes })
    }

    /// The view behind `weak`, if it is still read.
    pub(crate) fn revive(weak: &Weak<Self>) -> Option<Arc<Self>> {
        weak.upgrade().filter(|view| !view.is_over())
    }

    /// Whether the reader has ended, so that only a new one has news.
    pub(crate) fn is_over(&self) -> bool {
        self.state.has_changed().is_err() || matches!(self.state.borrow().outcome, Some(Err(_)))
    }

    /// Whether nobody waits, so that what was read last may be of any age.
    fn is_parked(&self, generation: u64) -> bool {
        self.wishes.generation.load(Ordering::SeqCst) <= generation
    }

    /// A look that begins now, or the next state after the generation `seen`. Cancel safe.
    pub(crate) async fn next(&self, seen: Option<u64>) -> Result<(u64, Arc<Snapshot>)> {
        let newest = self.state.borrow().generation;
        let wish = match seen {
            Some(seen) if seen == newest || !self.is_parked(newest) => {
                self.wishes.generation.fetch_max(seen + 1, Ordering::SeqCst);
                self.wishes.change.notify_one();
                0
            }
            _ => {
                let before = self.wishes.looks.fetch_add(1, Ordering::SeqCst);
                self.wishes.look.notify_one();
                before + 1
            }
        };
        let is_next = |state: &State| match &state.outcome {
            Some(Ok(_)) => state.granted >= wish && seen.is_none_or(|seen| state.generation > seen),
            Some(Err(_)) => true,
            None => false,
        };
        let mut state = self.state.clone();
        match state.wait_for(is_next).await.as_deref() {
            Ok(State { generation, outcome: Some(Ok(snapshot)), .. }) => Ok((*generation, snapshot.clone())),
            Ok(State { outcome: Some(Err(error)), .. }) => Err(error.clone()),
            _ => Err(Error::new(ErrorKind::Unexpected, "the task that reads the roster has ended without a word")),
        }
    }
}

async fn read(live: Arc<Live>, roster: Arc<Roster>, wishes: Arc<Wishes>, sender: watch::Sender<State>) {
    let (mut granted, mut generation, mut known) = (0, 0, None);
    loop {
        let wished = wishes.looks.load(Ordering::SeqCst);
        let look = async {
            if wished > granted {
                return live.retry(None, || live.session.snapshot(&roster, None)).await;
            }
            while wishes.generation.load(Ordering::SeqCst) <= generation {
                wishes.change.notified().await;
            }
            live.retry(None, || live.session.snapshot(&roster, known)).await
        };
        let outcome = tokio::select! {
            biased;
            () = sender.closed() => return,
            () = wishes.look.notified(), if wished == granted => continue,
            outcome = look => outcome,
        };
        let ended = outcome.is_err();
        if let Ok(snapshot) = &outcome
            && known.replace(snapshot.version) != Some(snapshot.version)
        {
            generation += 1;
        }
        granted = wished;
        sender.send_replace(State { granted, generation, outcome: Some(outcome.map(Arc::new)) });
        if ended {
            return;
        }
    }
}
