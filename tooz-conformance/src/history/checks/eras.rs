//! The histories of the server within a run. Each begins when the server was emptied or restored. Its numbers may start
//! again then, so rules about numbers hold within one history only.
//!
//! An operation that begins in one of them and ends in another belongs to none: a client cannot tell which server carried
//! it out.

use std::collections::BTreeSet;

use super::spans::nanos;
use crate::history::client_id::Client;
use crate::history::event::{Act, Event, History, Op};

/// The time of one history of the server.
#[derive(Clone, Copy, Debug)]
struct Era {
    /// When the server of the previous history ended; 0 for the first history.
    replaced: u64,
    /// When the server was certainly serving.
    from: u64,
    /// When the server ended.
    to: u64,
}

/// The part of `history` that belongs to each history of the server.
pub(super) fn split(history: &History) -> Vec<History> {
    eras(history).into_iter().map(|era| part(history, era)).collect()
}

/// For each time at which the server was emptied or restored: when it ended, and when it served again.
pub(super) fn replacements(history: &History) -> Vec<(u64, u64)> {
    eras(history).iter().skip(1).map(|era| (era.replaced, era.from)).collect()
}

fn eras(history: &History) -> Vec<Era> {
    let mut eras = vec![Era { replaced: 0, from: 0, to: u64::MAX }];
    for event in &history.events {
        match &event.act {
            Act::Fault(fault) if fault.kind().begins_a_history() => {
                eras.iter_mut().for_each(|era| era.to = era.to.min(event.at));
                // If the run ends before the server serves again, nothing is left to check.
                eras.push(Era { replaced: event.at, from: u64::MAX, to: u64::MAX });
            }
            Act::Healed(fault) if fault.kind().begins_a_history() => {
                eras.last_mut().into_iter().for_each(|era| era.from = event.at);
            }
            _ => {}
        }
    }
    eras
}

fn part(history: &History, era: Era) -> History {
    let window = era.from..=era.to;
    let asked_within: BTreeSet<(Client, Op)> = asked(history, |at| window.contains(&at));
    let began_publishing: BTreeSet<&str> = payloads(history, |at| window.contains(&at));
    // Observers may still see the old server until their sessions have ended.
    let observers_from = if era.replaced == 0 { 0 } else { era.from.saturating_add(nanos(history.timing.settling())) };
    let mut resumed: BTreeSet<Client> = BTreeSet::new();
    let belongs = |event: &&Event| match &event.act {
        Act::Resumed(_) | Act::Interrupted(_) => {
            let belongs = (era.replaced..=era.to).contains(&event.at);
            if belongs {
                resumed.insert(event.client);
            }
            belongs
        }
        // A reader returns what it had received from the old server before it reports the gap.
        Act::Read(..) => {
            (era.replaced..=era.to).contains(&event.at) && (era.replaced == 0 || resumed.contains(&event.client))
        }
        Act::Published(payload, _) => window.contains(&event.at) && began_publishing.contains(payload.as_str()),
        Act::ObservedLeader(_) => (observers_from..=era.to).contains(&event.at),
        act => {
            window.contains(&event.at)
                && act.op().is_none_or(|op| is_joining(act) || asked_within.contains(&(event.client, op)))
        }
    };
    History { events: history.events.iter().filter(belongs).cloned().collect(), timing: history.timing }
}

fn is_joining(act: &Act) -> bool {
    matches!(act, Act::Joined(..) | Act::LeftGroup(_))
}

fn asked(history: &History, within: impl Fn(u64) -> bool) -> BTreeSet<(Client, Op)> {
    let asks = history.events.iter().filter(|event| within(event.at) && matches!(event.act, Act::Ask(..)));
    asks.filter_map(|event| Some((event.client, event.act.op()?))).collect()
}

fn payloads(history: &History, within: impl Fn(u64) -> bool) -> BTreeSet<&str> {
    let payload = |event: &'_ Event| matches!(event.act, Act::Publish(_)) && within(event.at);
    let begun = history.events.iter().filter(|event| payload(event));
    begun
        .filter_map(|event| match &event.act {
            Act::Publish(payload) => Some(payload.as_str()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::history::checks::Rule;
    use crate::history::client_id::OUTSIDE;
    use crate::history::event::Act;
    use crate::history::fault::{Fault, FaultKind};
    use crate::history::test_support::{SECOND, broken, history, request};

    type Timed = (u64, u16, Act);

    fn hold(at: u64, client: u16, token: u64) -> [Timed; 5] {
        [
            (at, client, Act::Ask(0, request())),
            (at + 1, client, Act::Granted(0, token)),
            (at + 2, client, Act::Held(0)),
            (at + 2, client, Act::Leave(0)),
            (at + 3, client, Act::Left(0, Some(true))),
        ]
    }

    fn replaced(from: u64, to: u64) -> [Timed; 2] {
        let fault = || Fault::of_all(FaultKind::EmptyServer);
        [(from, OUTSIDE, Act::Fault(fault())), (to, OUTSIDE, Act::Healed(fault()))]
    }

    #[test]
    fn tokens_may_repeat_after_the_server_was_emptied_and_not_otherwise() {
        let holds = || hold(10, 0, 5).into_iter().chain(hold(110, 1, 5));
        assert!(broken(&history(holds())).contains(&Rule::RisingTokens));
        assert_eq!(broken(&history(holds().chain(replaced(50, 100)))), []);
        let later = hold(210, 2, 5);
        assert!(broken(&history(holds().chain(replaced(50, 100)).chain(later))).contains(&Rule::RisingTokens));
    }

    #[test]
    fn a_grant_that_waited_through_the_replacement_belongs_to_neither_server() {
        let mut events: Vec<_> = hold(110, 0, 7).into_iter().chain(hold(210, 1, 6)).collect();
        assert!(broken(&history(events.clone())).contains(&Rule::RisingTokens));
        events[0].0 = 10;
        assert_eq!(broken(&history(events.into_iter().chain(replaced(50, 100)))), []);
    }

    #[test]
    fn a_holder_on_the_old_server_loses_within_a_ttl() {
        let held_until = |last: u64| {
            let events = [
                (1, 0, Act::Ask(0, request())),
                (2, 0, Act::Granted(0, 5)),
                (last, 0, Act::Held(0)),
                (last + 1, 0, Act::Lost(0, "it is over".into())),
            ];
            broken(&history(events.into_iter().chain(replaced(SECOND, 2 * SECOND))))
        };
        assert_eq!(held_until(4 * SECOND), []);
        assert_eq!(held_until(6 * SECOND), [Rule::LostWithServer]);
    }

    #[test]
    fn a_reader_has_one_gap_and_then_reads_all() {
        let published = |payload: &str, at, offset| {
            [(at, 0, Act::Publish(payload.to_owned())), (at + 1, 0, Act::Published(payload.to_owned(), offset))]
        };
        let gap = |at| (at, 1, Act::Interrupted("a gap".to_owned()));
        let read = |at, offset, payload: &str| (at, 1, Act::Read(offset, payload.to_owned()));
        let of = |reader: &[Timed]| {
            let mut events = [published("a", 10, 1), published("b", 110, 1), published("c", 120, 2)].concat();
            events.extend(replaced(50, 100));
            events.extend(reader.iter().cloned());
            events.push((9 * SECOND, 1, Act::ObservedToTheEnd));
            broken(&history(events))
        };
        let good = [read(20, 1, "a"), gap(105), read(130, 1, "b"), read(131, 2, "c")];
        assert_eq!(of(&good), []);
        assert_eq!(of(&good[..1]), [Rule::NothingMissing], "the reader is deaf");
        assert_eq!(of(&good[..3]), [Rule::NothingMissing]);
        assert_eq!(of(&[&good[..], &[gap(132)]].concat()), [Rule::Uninterrupted], "a gap without a cause");
        assert_eq!(
            of(&[read(20, 1, "a"), gap(30), gap(105), read(130, 1, "b"), read(131, 2, "c")]),
            [Rule::Uninterrupted]
        );
    }
}
