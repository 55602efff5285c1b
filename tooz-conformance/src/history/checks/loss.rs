//! Losses: the holder is notified in time, a loss has a cause, and a release reports correctly.

use super::eras::replacements;
use super::rule::{Rule, Violation};
use super::spans::{Disturbances, Ending, Span, nanos, spans};
use crate::history::client_id::Client;
use crate::history::event::{Act, History};

pub(super) fn check(history: &History) -> Vec<Violation> {
    let (spans, disturbances) = (spans(history), Disturbances::of(history));
    let mut found: Vec<_> =
        spans.iter().filter_map(|span| notified_late(span, &spans, &disturbances, history)).collect();
    found.extend(spans.iter().filter_map(|span| without_cause(span, &disturbances, history)));
    found.extend(spans.iter().filter_map(|span| never_notified(span, &disturbances, history)));
    let replacements = replacements(history);
    found.extend(spans.iter().filter_map(|span| outlived_the_server(span, &replacements, history)));
    found
}

/// A renewal reports that the server was emptied or restored, within half the TTL after it serves again. At the latest the
/// deadline passes, within a TTL.
fn outlived_the_server(span: &Span, replacements: &[(u64, u64)], history: &History) -> Option<Violation> {
    let (granted, token) = span.granted?;
    let (_, serves) = replacements.iter().find(|(ended, _)| granted < *ended)?;
    let timing = history.timing;
    let told = serves.saturating_add(nanos(timing.ttl.min(timing.ttl / 2 + timing.prompt)));
    (span.held_until > told).then(|| Violation {
        rule: Rule::LostWithServer,
        text: format!("c{} still held token {token} of the server that was emptied or restored", span.id.0),
        window: (granted, span.held_until),
        ops: vec![span.id],
    })
}

/// A holder is notified before the next conflicting grant, unless its process was stopped or the backend ended its
/// session by force.
fn notified_late(span: &Span, spans: &[Span], disturbances: &Disturbances, history: &History) -> Option<Violation> {
    let (Some((granted, token)), Ending::Lost(_)) = (span.granted, &span.ending) else { return None };
    let ttl = nanos(history.timing.ttl);
    let life = (granted.saturating_sub(ttl), span.over);
    if span.request.limit != 1
        || disturbances.stopped(span.id.0, life)
        || disturbances.forced(span.id.0, life).is_some()
    {
        return None;
    }
    let next = spans.iter().filter(|other| other.conflicts(span) && other.token() > Some(token));
    let next = next.min_by_key(|other| other.granted)?;
    let next_at = next.granted.map_or(u64::MAX, |(at, _)| at);
    (next_at <= span.over).then(|| Violation {
        rule: Rule::LossFirst,
        text: format!("c{} was granted before c{} was notified of its loss", next.id.0, span.id.0),
        window: (next_at, span.over),
        ops: vec![span.id, next.id],
    })
}

/// If no fault was active for a TTL and a grace, nothing is lost and every release succeeds.
fn without_cause(span: &Span, disturbances: &Disturbances, history: &History) -> Option<Violation> {
    let (granted, _) = span.granted?;
    let (rule, what, until) = match &span.ending {
        Ending::Lost(why) => (Rule::LossHasCause, format!("lost the lock without a cause: {why}"), span.over),
        Ending::Released(Some(false)) => {
            // A release that the client repeated may find that it is already done.
            let until = span.left(history).unwrap_or(span.over);
            (
                Rule::TrueRelease,
                "released the lock that it held, but the release reported that it did not hold it".to_owned(),
                until,
            )
        }
        _ => return None,
    };
    let before = history.timing.ttl + history.timing.grace;
    disturbances.all_through((granted, until), before).then(|| Violation {
        rule,
        text: format!("c{} {what}", span.id.0 as Client),
        window: (granted, until),
        ops: vec![span.id],
    })
}

/// A holder is notified that its entry was removed: at the latest by a renewal, which happens every third of the TTL.
fn never_notified(span: &Span, disturbances: &Disturbances, history: &History) -> Option<Violation> {
    let token = span.token()?;
    let removal = history.events.iter().find(|event| event.act == Act::Removed(span.request.object, token))?.at;
    let ttl = nanos(history.timing.ttl);
    let late = span.held_until > removal.saturating_add(ttl / 2);
    let window = (removal.saturating_sub(ttl), span.held_until);
    (late && disturbances.undisturbed(span.id.0, window)).then(|| Violation {
        rule: Rule::LossNotified,
        text: format!("c{} was not notified in time that its entry had been removed", span.id.0),
        window: (removal, span.held_until),
        ops: vec![span.id],
    })
}

#[cfg(test)]
mod tests {
    use crate::history::checks::Rule;
    use crate::history::client_id::OUTSIDE;
    use crate::history::event::Act;
    use crate::history::fault::{Fault, FaultKind};
    use crate::history::test_support::{SECOND, broken, history, request};

    fn lost_at(at: u64, fault: FaultKind) -> Vec<(u64, u16, Act)> {
        vec![
            (1, 0, Act::Ask(0, request())),
            (2, 0, Act::Granted(0, 1)),
            (2, 1, Act::Ask(0, request())),
            (3, OUTSIDE, Act::Fault(Fault::of(fault, vec![0]))),
            (4, 0, Act::Held(0)),
            (at, 0, Act::Lost(0, "it is over".into())),
            (20, 1, Act::Granted(0, 2)),
        ]
    }

    #[test]
    fn a_loss_reported_after_the_next_grant_is_found() {
        assert_eq!(broken(&history(lost_at(19, FaultKind::Partition))), []);
        assert_eq!(broken(&history(lost_at(20, FaultKind::Partition))), [Rule::LossFirst]);
        assert_eq!(broken(&history(lost_at(25, FaultKind::Partition))), [Rule::LossFirst]);
        // A stopped process cannot be notified, and a forced end is not announced.
        assert_eq!(broken(&history(lost_at(25, FaultKind::FreezeClient))), []);
        assert_eq!(broken(&history(lost_at(25, FaultKind::Expire))), []);
    }

    #[test]
    fn a_loss_or_failed_release_without_a_cause_is_found() {
        let mut events = lost_at(19, FaultKind::Partition);
        events.remove(3);
        assert_eq!(broken(&history(events.clone())), [Rule::LossHasCause]);
        events.retain(|(_, client, act)| *client == 0 && !matches!(act, Act::Lost(..)));
        events.extend([(6, 0, Act::Leave(0)), (7, 0, Act::Left(0, Some(false)))]);
        assert_eq!(broken(&history(events.clone())), [Rule::TrueRelease]);
        events.insert(0, (6, OUTSIDE, Act::Fault(Fault::of_all(FaultKind::RestartServer))));
        assert_eq!(broken(&history(events)), []);
    }

    #[test]
    fn a_removal_that_is_never_reported_is_found() {
        let removal = || Fault::of(FaultKind::Remove, vec![0]);
        let held_until = |last: u64| {
            history([
                (1, 0, Act::Ask(0, request())),
                (2, 0, Act::Granted(0, 1)),
                (3, OUTSIDE, Act::Fault(removal())),
                (4, OUTSIDE, Act::Removed(0, 1)),
                (4, OUTSIDE, Act::Healed(removal())),
                (last, 0, Act::Held(0)),
                (last + 1, 0, Act::Lost(0, "it is over".into())),
            ])
        };
        assert_eq!(broken(&held_until(SECOND)), []);
        assert_eq!(broken(&held_until(2 * SECOND)), [Rule::LossNotified]);
    }
}
