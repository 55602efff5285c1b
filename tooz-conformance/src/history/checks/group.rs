//! The events that watchers of a group receive.

use std::collections::{BTreeSet, HashMap};

use super::rule::{Rule, Violation};
use super::spans::nanos;
use crate::history::client_id::Client;
use crate::history::event::{Act, Change, History};

/// The members according to one watcher.
#[derive(Debug, Default)]
struct Watched {
    present: HashMap<String, String>,
    gone: BTreeSet<String>,
}

pub(super) fn check(history: &History) -> Vec<Violation> {
    let mut views: HashMap<Client, Watched> = HashMap::new();
    let mut found = Vec::new();
    for event in &history.events {
        let Act::Notified(change) = &event.act else { continue };
        if let Err(text) = views.entry(event.client).or_default().apply(change) {
            let (text, window) = (format!("watcher c{}: {text}", event.client), (event.at, event.at));
            found.push(Violation { rule: Rule::OnceInOrder, text, window, ops: Vec::new() });
        }
    }
    found.extend(at_the_end(history, &views));
    found
}

/// Each watcher ends with the members that were found at the end, except for the latest changes: a session may be lost
/// at any time on a slow machine.
fn at_the_end(history: &History, views: &HashMap<Client, Watched>) -> Vec<Violation> {
    let mut ends = history.events.iter().rev().filter_map(|event| match &event.act {
        Act::Members(members) => Some((event.at, members.iter().cloned().collect::<BTreeSet<_>>())),
        _ => None,
    });
    let Some((at, truth)) = ends.next().filter(|(at, _)| history.is_settled(*at)) else { return Vec::new() };
    let to_the_end: BTreeSet<_> =
        history.events.iter().filter(|event| event.act == Act::ObservedToTheEnd).map(|event| event.client).collect();
    let fresh = changed_since(history, at.saturating_sub(nanos(history.timing.prompt)));
    let differs = |(watcher, view): (&Client, &Watched)| {
        let seen: BTreeSet<_> = view.present.keys().cloned().collect();
        let differs = seen.symmetric_difference(&truth).any(|incarnation| !fresh.contains(incarnation.as_str()));
        (to_the_end.contains(watcher) && differs).then(|| Violation {
            rule: Rule::TrueMembers,
            text: format!("watcher c{watcher} ends with {seen:?}, but the members are {truth:?}"),
            window: (at, at),
            ops: Vec::new(),
        })
    };
    views.iter().filter_map(differs).collect()
}

/// The incarnations that joined or left after the time `since`, according to any client.
fn changed_since(history: &History, since: u64) -> BTreeSet<&str> {
    let changed = history.events.iter().filter(|event| event.at > since).filter_map(|event| match &event.act {
        Act::Notified(Change::Joined(_, incarnation) | Change::Left(_, incarnation)) => Some(incarnation.as_str()),
        Act::Joined(_, incarnation) => Some(incarnation.as_str()),
        _ => None,
    });
    changed.collect()
}

impl Watched {
    fn apply(&mut self, change: &Change) -> Result<(), String> {
        match change {
            Change::Joined(member, incarnation) => {
                if self.present.values().any(|other| other == member) {
                    return Err(format!("{member} joined twice without leaving"));
                }
                if self.gone.contains(incarnation) {
                    return Err(format!("incarnation {incarnation} of {member} joined after it had left"));
                }
                self.present.insert(incarnation.clone(), member.clone());
            }
            Change::Left(member, incarnation) => {
                if self.present.remove(incarnation).is_none() {
                    return Err(format!("incarnation {incarnation} of {member} left although it had not joined"));
                }
                self.gone.insert(incarnation.clone());
            }
            Change::Updated(member, incarnation) if !self.present.contains_key(incarnation) => {
                return Err(format!("incarnation {incarnation} of {member} changed although it is not a member"));
            }
            Change::Updated(..) | Change::Resync => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::history::checks::Rule;
    use crate::history::client_id::OUTSIDE;
    use crate::history::event::{Act, Change};
    use crate::history::test_support::{SECOND, broken, history};

    fn rules_broken_by(changes: &[Change], members: &[&str]) -> Vec<Rule> {
        let mut events: Vec<_> = changes.iter().map(|change| (1, 9, Act::Notified(change.clone()))).collect();
        let members = members.iter().map(|member| (*member).to_owned()).collect();
        events.push((5 * SECOND, 9, Act::ObservedToTheEnd));
        events.push((5 * SECOND, OUTSIDE, Act::Members(members)));
        broken(&history(events))
    }

    #[test]
    fn each_incarnation_joins_once_and_leaves_once() {
        let joined = |incarnation: &str| Change::Joined("a".into(), incarnation.into());
        let left = |incarnation: &str| Change::Left("a".into(), incarnation.into());
        assert_eq!(rules_broken_by(&[joined("1"), left("1"), joined("2")], &["2"]), []);
        assert_eq!(
            rules_broken_by(&[joined("1"), joined("2"), left("1")], &["2"]),
            [Rule::OnceInOrder, Rule::TrueMembers]
        );
        assert_eq!(rules_broken_by(&[joined("1"), left("1"), joined("1")], &[]), [Rule::OnceInOrder]);
        assert_eq!(rules_broken_by(&[joined("1"), left("1"), left("1")], &[]), [Rule::OnceInOrder]);
        assert_eq!(rules_broken_by(&[Change::Updated("a".into(), "1".into())], &[]), [Rule::OnceInOrder]);
        assert_eq!(rules_broken_by(&[joined("1"), joined("2")], &["1", "2"]), [Rule::OnceInOrder, Rule::TrueMembers]);
    }

    #[test]
    fn a_watcher_that_ends_elsewhere_is_found() {
        let joined = Change::Joined("a".into(), "1".into());
        assert_eq!(rules_broken_by(std::slice::from_ref(&joined), &["1"]), []);
        assert_eq!(rules_broken_by(&[joined], &[]), [Rule::TrueMembers]);
    }

    #[test]
    fn the_latest_changes_need_not_be_known_to_all() {
        let joined = |at| (at, 8, Act::Notified(Change::Joined("a".into(), "1".into())));
        let end = |at| {
            let other = (1, 9, Act::Notified(Change::Joined("b".into(), "2".into())));
            let members = Act::Members(vec!["1".into(), "2".into()]);
            broken(&history([
                other,
                joined(at),
                (5 * SECOND, 9, Act::ObservedToTheEnd),
                (5 * SECOND, OUTSIDE, members),
            ]))
        };
        assert_eq!(end(4 * SECOND), []);
        assert_eq!(end(SECOND), [Rule::TrueMembers]);
    }
}
