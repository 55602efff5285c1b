//! Elections: each term has one leader, observers never go back to an earlier term, and they end with the true leader.

use std::collections::HashMap;

use super::eras::replacements;
use super::rule::{Rule, Violation};
use super::spans::{nanos, spans};
use crate::history::client_id::{Client, NEIGHBOUR, member};
use crate::history::event::{Act, History};

pub(super) fn check(history: &History) -> Vec<Violation> {
    let mut leaders: HashMap<u64, String> = HashMap::new();
    let mut last: HashMap<Client, u64> = HashMap::new();
    let mut found = Vec::new();
    let asked: HashMap<_, _> = spans(history).into_iter().map(|span| (span.id, span)).collect();
    let observed = history.events.iter().any(|event| matches!(event.act, Act::ObservedLeader(_)));
    for event in &history.events {
        let (term, leader) = match &event.act {
            Act::ObservedLeader(Some((leader, term))) => (*term, leader.clone()),
            Act::Granted(op, term)
                if observed && event.client != NEIGHBOUR && asked.contains_key(&(event.client, *op)) =>
            {
                (*term, member(event.client))
            }
            _ => continue,
        };
        let violation = |rule, text| Violation { rule, text, window: (event.at, event.at), ops: Vec::new() };
        if let Some(other) = leaders.insert(term, leader.clone()).filter(|other| *other != leader) {
            found.push(violation(Rule::OneLeader, format!("{other} and {leader} both led in term {term}")));
        }
        if matches!(event.act, Act::ObservedLeader(_)) {
            let before = last.insert(event.client, term).filter(|before| *before > term);
            if let Some(before) = before {
                let text = format!("observer c{} went back from term {before} to {term}", event.client);
                found.push(violation(Rule::NoGoingBack, text));
            }
        }
    }
    found
}

/// The run itself leads at the end. Each observer must report that, if it had a TTL of time to do so.
pub(super) fn check_end(history: &History) -> Vec<Violation> {
    let leads = history.events.iter().find_map(|event| match event.act {
        Act::Leads(term) => Some((event.at, term)),
        _ => None,
    });
    let Some((since, truth)) = leads else { return Vec::new() };
    let mut last: HashMap<Client, Option<u64>> = HashMap::new();
    let mut found = Vec::new();
    for event in &history.events {
        match &event.act {
            Act::ObservedLeader(leader) => {
                last.insert(event.client, leader.as_ref().map(|(_, term)| *term));
            }
            Act::ObservedToTheEnd if history.is_settled(event.at) => {
                let had_time = since.saturating_add(nanos(history.timing.ttl)) <= event.at;
                let seen = last.get(&event.client).copied().flatten();
                if had_time && seen != Some(truth) {
                    let text = format!("observer c{} ends with term {seen:?}, not {truth}", event.client);
                    found.push(Violation { rule: Rule::TrueLeader, text, window: (since, event.at), ops: Vec::new() });
                }
            }
            _ => {}
        }
    }
    found
}

/// An observer receives no error of a fault that core can repair itself. It is interrupted at most once for each time that
/// the server was emptied or restored.
pub(super) fn check_errors(history: &History) -> Vec<Violation> {
    let replacements = replacements(history);
    let mut interruptions: HashMap<Client, usize> = HashMap::new();
    let mut found = Vec::new();
    for event in &history.events {
        let what = match &event.act {
            Act::UnexpectedError(error) => error,
            Act::Interrupted(error) => {
                let so_far = interruptions.entry(event.client).or_default();
                *so_far += 1;
                if *so_far <= replacements.iter().filter(|(ended, _)| *ended <= event.at).count() {
                    continue;
                }
                error
            }
            _ => continue,
        };
        found.push(Violation {
            rule: Rule::Uninterrupted,
            text: format!("c{} received the error: {what}", event.client),
            window: (event.at, event.at),
            ops: Vec::new(),
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::history::checks::Rule;
    use crate::history::event::Act;
    use crate::history::test_support::{SECOND, broken, history, request};

    #[test]
    fn two_leaders_of_a_term_and_a_step_back_are_found() {
        let saw = |leader: &str, term| Act::ObservedLeader(Some((leader.to_owned(), term)));
        let with = |act| {
            history([(1, 0, Act::Ask(0, request())), (2, 0, Act::Granted(0, 5)), (3, 9, saw("c0", 5)), (4, 9, act)])
        };
        assert_eq!(broken(&with(saw("c1", 6))), []);
        assert_eq!(broken(&with(Act::ObservedLeader(None))), []);
        assert_eq!(broken(&with(saw("c1", 5))), [Rule::OneLeader]);
        assert_eq!(broken(&with(saw("c1", 4))), [Rule::NoGoingBack]);
    }

    #[test]
    fn an_observer_that_misses_the_last_leader_is_found() {
        let ends_with = |leader: Option<u64>| {
            broken(&history([
                (1, 9, Act::ObservedLeader(leader.map(|term| ("run".to_owned(), term)))),
                (1, u16::MAX, Act::Leads(7)),
                (9 * SECOND, 9, Act::ObservedToTheEnd),
            ]))
        };
        assert_eq!(ends_with(Some(7)), []);
        assert_eq!(ends_with(Some(6)), [Rule::TrueLeader]);
        assert_eq!(ends_with(None), [Rule::TrueLeader]);
    }
}
