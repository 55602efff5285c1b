//! Liveness: a free lock is granted to a waiter in time, and no entry is left behind.

use super::rule::{Rule, Violation};
use super::spans::{Disturbances, Ending, Span, nanos, spans};
use crate::history::event::{Act, History};

pub(super) fn check(history: &History) -> Vec<Violation> {
    let (spans, disturbances) = (spans(history), Disturbances::of(history));
    let waits = |span: &&Span| span.request.waits && span.request.limit == 1;
    spans.iter().filter(waits).filter_map(|span| kept_waiting(span, &spans, &disturbances, history)).collect()
}

/// A connected waiter is granted within the TTL and the grace after the last holder ended, in whatever way. If no fault was
/// active, it is granted promptly.
fn kept_waiting(span: &Span, spans: &[Span], disturbances: &Disturbances, history: &History) -> Option<Violation> {
    let until = span.granted.map_or(span.over, |(at, _)| at);
    // Entries that do not conflict count too: an entry between them and this one in the queue may conflict with both.
    let others = || spans.iter().filter(|other| other.id != span.id && other.request.object == span.request.object);
    let held = others();
    let ends = held.filter_map(|other| {
        let (granted, _) = other.granted.filter(|(granted, _)| *granted < until)?;
        Some(free_again(other).max(granted))
    });
    let free = ends.max().unwrap_or(0).max(span.asked);
    let timing = history.timing;
    // A fault may have hit a client that was earlier in the queue.
    let overlapping = others().chain([span]).filter(|other| other.asked <= until && other.over >= span.asked);
    let hit = overlapping.map(|other| disturbances.last_hit(other.id.0, until, timing.expires)).max().unwrap_or(0);
    let since = free.max(disturbances.since(span.id.0, until)).max(hit);
    let calm = disturbances.all_through((free, until), timing.ttl + timing.grace);
    let bound = if calm { timing.prompt } else { timing.ttl + timing.grace };
    (until > since.saturating_add(nanos(bound))).then(|| Violation {
        rule: Rule::Wakeup,
        text: format!(
            "c{} waited for {:.3} s although no client held the object",
            span.id.0,
            (until - since) as f64 / 1e9
        ),
        window: (since, until),
        ops: vec![span.id],
    })
}

/// When the backend considered the entry gone: after the release, or a TTL after the last renewal.
fn free_again(span: &Span) -> u64 {
    match span.ending {
        // The client may repeat the release for a while.
        Ending::Released(_) | Ending::Lost(_) => span.over,
        _ => span.held_until,
    }
}

pub(super) fn check_leftovers(history: &History) -> Vec<Violation> {
    let left = history.events.iter().filter_map(|event| match event.act {
        Act::Leftover(object, entries) if entries > 0 => Some(Violation {
            rule: Rule::NothingLeft,
            text: format!("{entries} entries of object {object} exist after all clients have ended"),
            window: (event.at, event.at),
            ops: Vec::new(),
        }),
        _ => None,
    });
    left.collect()
}

#[cfg(test)]
mod tests {
    use crate::history::checks::Rule;
    use crate::history::client_id::OUTSIDE;
    use crate::history::event::Act;
    use crate::history::fault::{Fault, FaultKind};
    use crate::history::test_support::{SECOND, broken, history, request};

    fn release_and_grant(granted: u64, fault: Option<FaultKind>) -> Vec<(u64, u16, Act)> {
        let mut events = vec![
            (1, 0, Act::Ask(0, request())),
            (2, 0, Act::Granted(0, 1)),
            (2, 1, Act::Ask(0, request())),
            (10, 0, Act::Held(0)),
            (SECOND + granted, 1, Act::Granted(0, 2)),
        ];
        events.push(match fault {
            None => (10, 0, Act::Leave(0)),
            Some(fault) => (10, OUTSIDE, Act::Fault(Fault::of(fault, vec![0]))),
        });
        events
    }

    #[test]
    fn a_lost_wake_up_is_found() {
        assert_eq!(broken(&history(release_and_grant(0, None))), []);
        assert_eq!(broken(&history(release_and_grant(2 * SECOND, None))), [Rule::Wakeup]);
    }

    #[test]
    fn a_crash_delays_the_next_grant_by_ttl_and_grace_at_most() {
        let crash = Some(FaultKind::KillClient);
        assert_eq!(broken(&history(release_and_grant(3 * SECOND, crash))), []);
        assert_eq!(broken(&history(release_and_grant(5 * SECOND, crash))), [Rule::Wakeup]);
    }

    #[test]
    fn a_waiter_that_is_killed_is_no_longer_granted() {
        let mut events = release_and_grant(0, None);
        events.push((5, 2, Act::Ask(0, request())));
        events.push((6, OUTSIDE, Act::Fault(Fault::of(FaultKind::KillClient, vec![2]))));
        events.push((9 * SECOND, OUTSIDE, Act::Leftover(0, 0)));
        assert_eq!(broken(&history(events)), []);
    }

    #[test]
    fn a_waiter_that_is_cut_off_itself_may_wait() {
        let mut events = release_and_grant(9 * SECOND, None);
        events.push((11, OUTSIDE, Act::Fault(Fault::of(FaultKind::Partition, vec![1]))));
        events.push((8 * SECOND, OUTSIDE, Act::Healed(Fault::of(FaultKind::Partition, vec![1]))));
        assert_eq!(broken(&history(events)), []);
    }

    #[test]
    fn an_entry_that_is_left_behind_is_found() {
        assert_eq!(broken(&history([(1, OUTSIDE, Act::Leftover(0, 0))])), []);
        assert_eq!(broken(&history([(1, OUTSIDE, Act::Leftover(0, 2))])), [Rule::NothingLeft]);
    }
}
