//! What watchers of a group are told.

use std::collections::{BTreeSet, HashMap};

use super::{Rule, Violation};
use crate::history::event::{Act, Change, Client, History};

/// What one watcher knows.
#[derive(Debug, Default)]
struct View {
    present: HashMap<String, String>,
    gone: BTreeSet<String>,
}

pub(super) fn check(history: &History) -> Vec<Violation> {
    let mut views: HashMap<Client, View> = HashMap::new();
    let mut found = Vec::new();
    for event in &history.events {
        let Act::Told(change) = &event.act else { continue };
        if let Err(text) = views.entry(event.client).or_default().apply(change) {
            let (text, window) = (format!("watcher c{}: {text}", event.client), (event.at, event.at));
            found.push(Violation { rule: Rule::OnceInOrder, text, window, ops: Vec::new() });
        }
    }
    found.extend(at_the_end(history, &views));
    found
}

/// Each watcher's view is what was found when all was quiet, and holds every member that joined and did not leave.
fn at_the_end(history: &History, views: &HashMap<Client, View>) -> Vec<Violation> {
    let mut ends = history.events.iter().rev().filter_map(|event| match &event.act {
        Act::Members(members) => Some((event.at, members.iter().cloned().collect::<BTreeSet<_>>())),
        _ => None,
    });
    let Some((at, truth)) = ends.next() else { return Vec::new() };
    let to_the_end: BTreeSet<_> =
        history.events.iter().filter(|event| event.act == Act::LookedOn).map(|event| event.client).collect();
    let differs = |(watcher, view): (&Client, &View)| {
        let seen: BTreeSet<_> = view.present.keys().cloned().collect();
        (to_the_end.contains(watcher) && seen != truth).then(|| Violation {
            rule: Rule::TrueMembers,
            text: format!("watcher c{watcher} ends with {seen:?}, but the members are {truth:?}"),
            window: (at, at),
            ops: Vec::new(),
        })
    };
    views.iter().filter_map(differs).collect()
}

impl View {
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
                    return Err(format!("incarnation {incarnation} of {member} left without having joined"));
                }
                self.gone.insert(incarnation.clone());
            }
            Change::Updated(member, incarnation) if !self.present.contains_key(incarnation) => {
                return Err(format!("incarnation {incarnation} of {member} changed without being there"));
            }
            Change::Updated(..) | Change::Resync => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::history::checks::Rule;
    use crate::history::event::{Act, Change, OUTSIDE};
    use crate::history::test_support::{broken, history};

    fn told(changes: &[Change], members: &[&str]) -> Vec<Rule> {
        let mut events: Vec<_> = changes.iter().map(|change| (1, 9, Act::Told(change.clone()))).collect();
        let members = members.iter().map(|member| (*member).to_owned()).collect();
        events.push((2, 9, Act::LookedOn));
        events.push((2, OUTSIDE, Act::Members(members)));
        broken(&history(events))
    }

    #[test]
    fn each_incarnation_joins_once_and_leaves_once() {
        let joined = |incarnation: &str| Change::Joined("a".into(), incarnation.into());
        let left = |incarnation: &str| Change::Left("a".into(), incarnation.into());
        assert_eq!(told(&[joined("1"), left("1"), joined("2")], &["2"]), []);
        assert_eq!(told(&[joined("1"), joined("2"), left("1")], &["2"]), [Rule::OnceInOrder, Rule::TrueMembers]);
        assert_eq!(told(&[joined("1"), left("1"), joined("1")], &[]), [Rule::OnceInOrder]);
        assert_eq!(told(&[joined("1"), left("1"), left("1")], &[]), [Rule::OnceInOrder]);
        assert_eq!(told(&[Change::Updated("a".into(), "1".into())], &[]), [Rule::OnceInOrder]);
        assert_eq!(told(&[joined("1"), joined("2")], &["1", "2"]), [Rule::OnceInOrder, Rule::TrueMembers]);
    }

    #[test]
    fn a_watcher_that_ends_elsewhere_is_found() {
        let joined = Change::Joined("a".into(), "1".into());
        assert_eq!(told(std::slice::from_ref(&joined), &["1"]), []);
        assert_eq!(told(&[joined], &[]), [Rule::TrueMembers]);
    }
}
