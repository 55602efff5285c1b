//! Elections: each term has one leader, and observers never go back to an earlier term.

use std::collections::HashMap;

use super::rule::{Rule, Violation};
use super::spans::spans;
use crate::history::client_id::{Client, member};
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
            Act::Granted(op, term) if observed && asked.contains_key(&(event.client, *op)) => {
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

/// An observer never receives an error of a fault that core can repair itself.
pub(super) fn check_errors(history: &History) -> Vec<Violation> {
    let broken = history.events.iter().filter_map(|event| match &event.act {
        Act::UnexpectedError(error) => Some(Violation {
            rule: Rule::Uninterrupted,
            text: format!("c{} received the error: {error}", event.client),
            window: (event.at, event.at),
            ops: Vec::new(),
        }),
        _ => None,
    });
    broken.collect()
}
#[cfg(test)]
mod tests {
    use crate::history::checks::Rule;
    use crate::history::event::Act;
    use crate::history::test_support::{broken, history, request};

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
}
