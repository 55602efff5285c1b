//! Linearizability of grants and releases, checked by an independent implementation: they fit into one order that a
//! lock used by one thread would allow.
//!
//! The checker is the Wing-Gong-Lowe algorithm of `todc-utils`, which has no dependencies.

use std::cmp::Reverse;

use todc_utils::Specification;
use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History as Calls};

use super::rule::{Rule, Violation};
use super::spans::{Disturbances, Ending, Span, nanos, spans};
use crate::history::event::{History, Request};

/// An operation on a lock, a semaphore or an election.
#[derive(Clone, Debug)]
enum Step {
    Acquire(Request, u64),
    Release(u64),
}

/// The sequential specification of a lock: its holders, and the greatest token so far.
struct LockSpec;

impl Specification for LockSpec {
    type State = (Vec<(u64, bool)>, u64);
    type Operation = Step;

    fn init() -> Self::State {
        (Vec::new(), 0)
    }

    fn apply(step: &Step, (holders, last): &Self::State) -> (bool, Self::State) {
        let mut holders = holders.clone();
        match step {
            Step::Acquire(request, token) => {
                let fits = match request.shared {
                    true => holders.iter().all(|(_, shared)| *shared),
                    false => holders.len() < request.limit as usize,
                };
                holders.push((*token, request.shared));
                (fits && token > last, (holders, *token))
            }
            Step::Release(token) => {
                let before = holders.len();
                holders.retain(|(holder, _)| holder != token);
                (holders.len() < before, (holders, *last))
            }
        }
    }
}

/// The last time at which it was certainly held, and the first at which it was certainly free.
type End = (u64, u64);

/// Reports, for each object that is not linearizable, the shortest run of grants that is not. This is sound because
/// every part of a linearizable history is linearizable.
pub(super) fn check(history: &History) -> Vec<Violation> {
    let disturbances = Disturbances::of(history);
    let granted = spans(history)
        .into_iter()
        .filter(|span| span.granted.is_some() && !span.was_removed_before_grant(&disturbances, history));
    let mut held: Vec<(Span, End)> = granted.map(|span| (span.clone(), end(&span, &disturbances, history))).collect();
    held.sort_by_key(|(span, _)| span.granted);
    let mut objects: Vec<u8> = held.iter().map(|(span, _)| span.request.object).collect();
    objects.sort_unstable();
    objects.dedup();
    let of =
        |object: u8| held.iter().filter(move |(span, _)| span.request.object == object).cloned().collect::<Vec<_>>();
    objects.into_iter().filter_map(|object| refused(&of(object))).collect()
}

fn refused(held: &[(Span, End)]) -> Option<Violation> {
    if is_linearizable(held) {
        return None;
    }
    let lengths: Vec<usize> = (1..=held.len()).collect();
    let shortest = lengths.partition_point(|length| is_linearizable(&held[..*length])) + 1;
    let starts: Vec<usize> = (0..shortest).collect();
    let start = starts.partition_point(|start| !is_linearizable(&held[*start..shortest])) - 1;
    let plan = &held[start..shortest];
    Some(Violation {
        rule: Rule::Linearizable,
        text: format!("{} grants of object {} fit into no order of a lock", plan.len(), plan[0].0.request.object),
        window: (plan[0].0.asked, plan.iter().filter_map(|(span, _)| Some(span.granted?.0)).max().unwrap_or(0)),
        ops: plan.iter().map(|(span, _)| span.id).collect(),
    })
}

fn is_linearizable(held: &[(Span, End)]) -> bool {
    let mut actions = Vec::new();
    for (index, (span, (from, to))) in held.iter().enumerate() {
        let Some((granted, token)) = span.granted else { continue };
        let (acquire, release) = (Step::Acquire(span.request, token), Step::Release(token));
        actions.push((span.asked, 2 * index, Action::Call(acquire.clone())));
        actions.push((granted, 2 * index, Action::Response(acquire)));
        actions.push(((*from).max(granted), 2 * index + 1, Action::Call(release.clone())));
        actions.push(((*to).max(granted), 2 * index + 1, Action::Response(release)));
    }
    // At equal times calls come before returns, because a call may have happened before every return of that time.
    actions.sort_by_key(|(at, _, action)| (*at, Reverse(matches!(action, Action::Call(_)))));
    let actions: Vec<_> = actions.into_iter().map(|(_, process, action)| (process, action)).collect();
    actions.is_empty() || WGLChecker::<LockSpec>::is_linearizable(Calls::from_actions(actions))
}

/// Until the release is known to have succeeded, the entry may still exist.
fn end(span: &Span, disturbances: &Disturbances, history: &History) -> End {
    let window = (span.held_until.saturating_sub(nanos(history.timing.ttl)), span.held_until);
    let from = disturbances.forced(span.id.0, window).map_or(span.held_until, |at| at.min(span.held_until));
    let to = match span.ending {
        Ending::Released(Some(true)) => span.left(history).unwrap_or(u64::MAX),
        _ => u64::MAX,
    };
    (from, to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::event::Act;
    use crate::history::test_support::{history, request};

    fn two_holds(second_granted: u64, request: Request) -> Vec<Violation> {
        check(&history([
            (1, 0, Act::Ask(0, request)),
            (2, 0, Act::Granted(0, 1)),
            (3, 1, Act::Ask(0, request)),
            (10, 0, Act::Held(0)),
            (10, 0, Act::Leave(0)),
            (20, 0, Act::Left(0, Some(true))),
            (second_granted, 1, Act::Granted(0, 2)),
            (second_granted + 1, 1, Act::Held(0)),
        ]))
    }

    #[test]
    fn a_grant_fits_after_the_release_began_and_not_before() {
        assert!(two_holds(11, request()).is_empty());
        assert_eq!(two_holds(9, request())[0].rule, Rule::Linearizable);
        assert_eq!(two_holds(9, request())[0].ops, [(0, 0), (1, 0)]);
        assert!(two_holds(9, Request { limit: 2, ..request() }).is_empty());
        assert!(two_holds(9, Request { shared: true, ..request() }).is_empty());
    }

    #[test]
    fn tokens_that_fall_fit_into_no_order() {
        let grant = |at, client, token| {
            [
                (at, client, Act::Ask(0, request())),
                (at + 1, client, Act::Granted(0, token)),
                (at + 2, client, Act::Leave(0)),
                (at + 3, client, Act::Left(0, Some(true))),
            ]
        };
        let of = |first, second| check(&history(grant(1, 0, first).into_iter().chain(grant(11, 1, second))));
        assert!(of(1, 2).is_empty());
        assert_eq!(of(2, 1)[0].rule, Rule::Linearizable);
    }
}
