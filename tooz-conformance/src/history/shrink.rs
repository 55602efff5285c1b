//! Reduces a history to the events that show a violation: it drops operations one by one as long as the rule stays
//! broken.

use std::collections::BTreeSet;

use super::checks::{Rule, Violation, check, check_linearizability};
use super::client_id::Client;
use super::event::{Act, Event, History, Op};

/// The greatest number of operations that are dropped one by one.
const TRIES: usize = 200;

/// A small part of `history` that breaks the same rule.
pub fn shrink(history: &History, violation: &Violation) -> History {
    let rule = violation.rule;
    let mut ops: BTreeSet<(Client, Op)> = violation.ops.iter().copied().collect();
    let mut small = only(history, violation, &ops);
    if !breaks(&small, rule) {
        // The operations of the violation alone do not show it, so those of the same time are added.
        let near = |event: &&Event| (violation.window.0..=violation.window.1).contains(&event.at);
        let neighbours = history.events.iter().filter(near);
        ops.extend(neighbours.filter_map(|event| Some((event.client, event.act.op()?))));
        small = only(history, violation, &ops);
        if !breaks(&small, rule) {
            return without_repetition(history, rule);
        }
    }
    for op in ops.clone().into_iter().take(TRIES) {
        let mut fewer = ops.clone();
        fewer.remove(&op);
        let candidate = only(history, violation, &fewer);
        if breaks(&candidate, rule) {
            (ops, small) = (fewer, candidate);
        }
    }
    without_repetition(&small, rule)
}

fn breaks(history: &History, rule: Rule) -> bool {
    let found = if rule == Rule::Linearizable { check_linearizability(history) } else { check(history) };
    found.iter().any(|violation| violation.rule == rule)
}

/// These operations, the faults, and the other events in the window.
fn only(history: &History, violation: &Violation, ops: &BTreeSet<(Client, Op)>) -> History {
    let (from, to) = violation.window;
    // A fault shortly before the window may be the cause. A fault after it cannot be.
    let cause = from.saturating_sub(3 * u64::try_from(history.timing.ttl.as_nanos()).unwrap_or_default())..=to;
    let keep = |event: &&Event| match &event.act {
        Act::Fault(_) | Act::Healed(_) | Act::Stalled(_) | Act::Removed(..) => cause.contains(&event.at),
        Act::Notified(_) | Act::Members(_) | Act::Leads(_) | Act::ObservedToTheEnd => violation.ops.is_empty(),
        act => match act.op() {
            Some(op) => ops.contains(&(event.client, op)),
            None => violation.ops.is_empty() && (from..=to).contains(&event.at),
        },
    };
    let events = history.events.iter().filter(keep).cloned().collect();
    History { events, timing: history.timing }
}

/// Of several equal checks in a row, only the last is kept.
fn without_repetition(history: &History, rule: Rule) -> History {
    let mut events: Vec<Event> = Vec::new();
    for (index, event) in history.events.iter().enumerate() {
        let next = history.events[index + 1..].iter().find(|next| next.client == event.client);
        let repeated = matches!(event.act, Act::Held(_)) && next.is_some_and(|next| next.act == event.act);
        if !repeated {
            events.push(event.clone());
        }
    }
    let smaller = History { events, timing: history.timing };
    if breaks(&smaller, rule) { smaller } else { history.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::test_support::{history, request};

    #[test]
    fn irrelevant_events_are_removed() {
        let mut events = Vec::new();
        for op in 0..50 {
            let at = 10 * u64::from(op);
            events.push((at, 0, Act::Ask(op, request())));
            events.push((at + 1, 0, Act::Granted(op, at + 1)));
            events.extend((2..5).map(|more| (at + more, 0, Act::Held(op))));
            events.push((at + 5, 0, Act::Leave(op)));
        }
        let stolen = [(301, 1, Act::Ask(0, request())), (302, 1, Act::Granted(0, 302)), (304, 1, Act::Held(0))];
        let history = history(events.into_iter().chain(stolen));
        let violation = check(&history).into_iter().find(|violation| violation.rule == Rule::Exclusion).unwrap();
        let small = shrink(&history, &violation);
        assert!(small.events.len() <= 8, "{small}");
        assert!(breaks(&small, Rule::Exclusion));
    }
}
