//! Fencing tokens: they rise with every grant, they protect a store, and they show the order of arrival.

use super::rule::{Rule, Violation};
use super::spans::{Disturbances, Span, nanos, spans};
use crate::history::event::{Act, History};

pub(super) fn check(history: &History) -> Vec<Violation> {
    let (spans, disturbances) = (spans(history), Disturbances::of(history));
    let mut objects: Vec<u8> = spans.iter().map(|span| span.request.object).collect();
    objects.sort_unstable();
    objects.dedup();
    let mut found = Vec::new();
    for object in objects {
        let mut granted: Vec<_> = spans.iter().filter(|span| span.request.object == object).collect();
        granted.retain(|span| span.granted.is_some() && !span.was_removed_before_grant(&disturbances, history));
        granted.sort_by_key(|span| span.granted);
        found.extend(rising(&granted));
        found.extend(order(&granted, history));
        found.extend(fencing(&granted, history));
    }
    found
}

/// A grant that was complete before another was requested has the smaller token. Exclusive tokens rise in any case.
fn rising(granted: &[&Span]) -> Option<Violation> {
    // The exclusive grant with the greatest token so far, and all grants so far.
    let mut exclusive: Option<&Span> = None;
    let mut seen: Vec<&Span> = Vec::new();
    for span in granted {
        let mutex = !span.request.shared && span.request.limit == 1;
        let before = seen.iter().filter(|other| other.granted.map(|(at, _)| at) < Some(span.asked));
        let earlier = before.chain(exclusive.iter().filter(|_| mutex)).max_by_key(|other| other.token());
        let twin = seen.iter().find(|other| other.token() == span.token());
        let greater = earlier.filter(|other| other.token() >= span.token()).or(twin);
        if let Some(other) = greater {
            return Some(Violation {
                rule: Rule::RisingTokens,
                text: format!(
                    "c{} was granted token {} after c{} was granted token {}",
                    span.id.0,
                    span.token().unwrap_or_default(),
                    other.id.0,
                    other.token().unwrap_or_default()
                ),
                window: (other.asked, span.granted.map_or(span.asked, |(at, _)| at)),
                ops: vec![other.id, span.id],
            });
        }
        if mutex && exclusive.is_none_or(|other| other.token() < span.token()) {
            exclusive = Some(span);
        }
        seen.push(span);
    }
    None
}

/// Of two waiters, the one that clearly requested earlier is granted earlier, if no fault was active.
fn order(granted: &[&Span], history: &History) -> Option<Violation> {
    let disturbances = Disturbances::of(history);
    let arrival = nanos(history.timing.arrival);
    // A client that lost its session in an earlier fault must open the next session before it can request. That takes this
    // long at most.
    let reopening = nanos(history.timing.grace);
    let waiting: Vec<_> = granted.iter().filter(|span| span.request.waits && !span.request.shared).collect();
    for (index, late) in waiting.iter().enumerate() {
        for early in &waiting[index + 1..] {
            let arrived = early.asked.saturating_add(arrival);
            let calm =
                || disturbances.all_through((early.asked.saturating_sub(reopening), arrived), history.timing.arrival);
            if late.request.limit == 1 && arrived < late.asked && calm() {
                return Some(Violation {
                    rule: Rule::Order,
                    text: format!("c{} requested before c{} but was granted after it", early.id.0, late.id.0),
                    window: (early.asked, early.granted.map_or(early.asked, |(at, _)| at)),
                    ops: vec![early.id, late.id],
                });
            }
        }
    }
    None
}

/// A store that refuses smaller tokens than it has seen accepts every write that a holder makes while it believes that it
/// holds.
fn fencing(granted: &[&Span], history: &History) -> Option<Violation> {
    let writers: std::collections::HashMap<_, _> = granted
        .iter()
        .filter(|span| !span.request.shared && span.request.limit == 1)
        .map(|span| (span.id, *span))
        .collect();
    let disturbances = Disturbances::of(history);
    let ttl = nanos(history.timing.ttl);
    let mut greatest: Option<&Span> = None;
    for event in &history.events {
        let (Act::Held(op) | Act::Granted(op, _)) = event.act else { continue };
        let Some(span) = writers.get(&(event.client, op)) else { continue };
        let forced = disturbances.forced(event.client, (event.at.saturating_sub(ttl), event.at)).is_some();
        match greatest {
            Some(other) if other.token() > span.token() && !forced => {
                return Some(Violation {
                    rule: Rule::Fencing,
                    text: format!(
                        "a store refuses the write of c{} with token {}, because c{} wrote with token {} before",
                        span.id.0,
                        span.token().unwrap_or_default(),
                        other.id.0,
                        other.token().unwrap_or_default()
                    ),
                    window: (span.asked, event.at),
                    ops: vec![span.id, other.id],
                });
            }
            Some(other) if other.token() > span.token() => {}
            _ => greatest = Some(span),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::history::checks::Rule;
    use crate::history::client_id::OUTSIDE;
    use crate::history::event::Act;
    use crate::history::fault::{Fault, FaultKind};
    use crate::history::test_support::{broken, history, request};

    fn one_after_the_other(tokens: [u64; 2]) -> Vec<(u64, u16, Act)> {
        let mut events = Vec::new();
        for (client, token) in (0..2).zip(tokens) {
            let at = 10 * u64::from(client);
            events.extend([
                (at + 1, client, Act::Ask(0, request())),
                (at + 2, client, Act::Granted(0, token)),
                (at + 3, client, Act::Held(0)),
                (at + 3, client, Act::Leave(0)),
                (at + 4, client, Act::Left(0, Some(true))),
            ]);
        }
        events
    }

    #[test]
    fn a_token_that_does_not_rise_is_found() {
        assert_eq!(broken(&history(one_after_the_other([1, 2]))), []);
        assert_eq!(broken(&history(one_after_the_other([2, 2]))), [Rule::RisingTokens]);
        let falling = broken(&history(one_after_the_other([2, 1])));
        assert!(falling.contains(&Rule::RisingTokens) && falling.contains(&Rule::Fencing), "{falling:?}");
    }

    #[test]
    fn a_grant_that_is_noted_after_its_removal_is_no_fall() {
        let removal = || Fault::of(FaultKind::Remove, vec![0]);
        let mut events = vec![(1, 0, Act::Ask(0, request())), (7, 0, Act::Granted(0, 2))];
        events.extend([
            (1, 1, Act::Ask(0, request())),
            (4, OUTSIDE, Act::Fault(removal())),
            (5, OUTSIDE, Act::Removed(0, 2)),
            (5, OUTSIDE, Act::Healed(removal())),
            (6, 1, Act::Granted(0, 3)),
        ]);
        assert_eq!(broken(&history(events.clone())), []);
        events.retain(|(_, _, act)| !matches!(act, Act::Removed(..)));
        assert!(broken(&history(events)).contains(&Rule::RisingTokens));
    }

    #[test]
    fn an_overtaken_waiter_is_found() {
        let mut events = vec![(1, 9, Act::Ask(0, request())), (2, 9, Act::Granted(0, 1)), (30, 9, Act::Leave(0))];
        let waiters = |first: u64, second: u64| {
            [
                (10, 0, Act::Ask(0, request())),
                (20, 1, Act::Ask(0, request())),
                (first, 0, Act::Granted(0, first)),
                (first, 0, Act::Leave(0)),
                (second, 1, Act::Granted(0, second)),
                (second, 1, Act::Leave(0)),
            ]
        };
        events.extend(waiters(31, 32));
        assert_eq!(broken(&history(events.clone())), []);
        events.truncate(3);
        events.extend(waiters(32, 31));
        assert_eq!(broken(&history(events)), [Rule::Order]);
    }
}
