//! Mutual exclusion: the holders at any time are at most as many as mode and limit allow.
//!
//! For each hold, there is an interval in which the client certainly believed that it held the object. The check sweeps over
//! these intervals in the order of their starts, and counts those that overlap.

use std::collections::BTreeMap;

use super::rule::{Rule, Violation};
use super::spans::{Disturbances, Span, nanos, spans};
use crate::history::event::History;

/// Intervals that only touch do not overlap.
pub(super) fn check(history: &History) -> Vec<Violation> {
    let disturbances = Disturbances::of(history);
    // Without a notification the holder's own deadline ends its belief after a TTL.
    let notice = nanos(history.timing.ttl);
    let mut objects: BTreeMap<u8, Vec<Span>> = BTreeMap::new();
    for mut span in spans(history) {
        let Some((granted, _)) = span.granted else { continue };
        // A holder cannot be notified before the backend ends its session by force.
        let window = (span.held_until.saturating_sub(notice), span.held_until);
        if let Some(at) = disturbances.forced(span.id.0, window) {
            span.held_until = at.max(granted);
        }
        if span.held_until > granted {
            objects.entry(span.request.object).or_default().push(span);
        }
    }
    objects.into_values().flat_map(sweep).collect()
}

fn sweep(mut held: Vec<Span>) -> Vec<Violation> {
    held.sort_by_key(|span| span.granted);
    let mut found = Vec::new();
    let mut now: Vec<&Span> = Vec::new();
    for span in &held {
        let Some((granted, _)) = span.granted else { continue };
        now.retain(|other| other.held_until > granted);
        now.push(span);
        if too_many(&now) {
            let until = now.iter().map(|span| span.held_until).min().unwrap_or(granted);
            found.push(Violation {
                rule: Rule::Exclusion,
                text: format!(
                    "{} clients held object {} at the same time: {}",
                    now.len(),
                    span.request.object,
                    describe(&now)
                ),
                window: (granted, until),
                ops: now.iter().map(|span| span.id).collect(),
            });
        }
    }
    found
}

fn too_many(now: &[&Span]) -> bool {
    let exclusive: Vec<_> = now.iter().filter(|span| !span.request.shared).collect();
    let limit = exclusive.iter().map(|span| span.request.limit as usize).min().unwrap_or(usize::MAX);
    exclusive.len() > limit || (limit == 1 && now.len() > 1)
}

fn describe(now: &[&Span]) -> String {
    let one = |span: &&Span| {
        let mode = if span.request.shared { "shared" } else { "exclusive" };
        format!("c{} {mode} with token {}", span.id.0, span.token().unwrap_or_default())
    };
    now.iter().map(one).collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use crate::history::checks::{Rule, check};
    use crate::history::event::{Act, Request};
    use crate::history::test_support::{broken, history, request};

    #[test]
    fn two_holders_at_once_are_found() {
        let good = [
            (1, 0, Act::Ask(0, request())),
            (2, 0, Act::Granted(0, 1)),
            (3, 1, Act::Ask(0, request())),
            (5, 0, Act::Held(0)),
            (5, 0, Act::Leave(0)),
            (5, 1, Act::Granted(0, 2)),
            (6, 0, Act::Left(0, Some(true))),
            (7, 1, Act::Held(0)),
        ];
        assert_eq!(broken(&history(good.clone())), []);
        let mut bad = good;
        bad[5].0 = 4;
        assert_eq!(broken(&history(bad)), [Rule::Exclusion, Rule::Fencing]);
    }

    #[test]
    fn a_belief_is_clipped_at_the_loss() {
        let mut events = vec![
            (1, 0, Act::Ask(0, request())),
            (2, 0, Act::Granted(0, 1)),
            (3, 1, Act::Ask(0, request())),
            (5, 0, Act::Held(0)),
            (5, 0, Act::Lost(0, "cut off".into())),
            (8, 1, Act::Granted(0, 2)),
            (9, 1, Act::Held(0)),
        ];
        assert!(!broken(&history(events.clone())).contains(&Rule::Exclusion));
        events.push((10, 0, Act::Held(0)));
        assert!(broken(&history(events)).contains(&Rule::Exclusion));
    }

    #[test]
    fn readers_may_overlap_and_writers_not_with_them() {
        let shared = Request { shared: true, ..request() };
        let events = |second| {
            history([
                (1, 0, Act::Ask(0, shared)),
                (2, 0, Act::Granted(0, 1)),
                (2, 1, Act::Ask(0, second)),
                (3, 1, Act::Granted(0, 2)),
                (9, 0, Act::Held(0)),
                (9, 1, Act::Held(0)),
            ])
        };
        assert_eq!(broken(&events(shared)), []);
        assert_eq!(broken(&events(request())), [Rule::Exclusion]);
    }

    #[test]
    fn a_semaphore_has_its_limit() {
        let two = Request { limit: 2, ..request() };
        let mut events = Vec::new();
        for client in 0..3 {
            events.push((1 + u64::from(client), client, Act::Ask(0, two)));
            events.push((1 + u64::from(client), client, Act::Granted(0, 1 + u64::from(client))));
        }
        let holders = |count: u16| (0..count).map(|client| (9, client, Act::Held(0)));
        let of = |count| history(events.iter().cloned().chain(holders(count)));
        assert_eq!(broken(&of(2)), []);
        assert!(check(&of(3)).iter().any(|violation| violation.rule == Rule::Exclusion));
    }
}
