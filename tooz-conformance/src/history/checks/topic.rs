//! Topics: all readers see one order, no acknowledged message is missing, and no message is read twice.

use std::collections::{BTreeMap, HashMap};

use super::rule::{Rule, Violation};
use crate::history::client_id::Client;
use crate::history::event::{Act, History};

pub(super) fn check(history: &History) -> Vec<Violation> {
    let mut log = Log::default();
    for event in &history.events {
        log.apply(event.at, event.client, &event.act);
        if event.act == Act::ObservedToTheEnd && history.is_settled(event.at) {
            log.finished.push(event.client);
            log.read.entry(event.client).or_default();
        }
    }
    log.missing();
    log.found
}

#[derive(Debug, Default)]
struct Log {
    /// The payload at each offset, according to readers and acknowledgements.
    at: BTreeMap<u64, String>,
    offset_of: HashMap<String, u64>,
    /// For each publication in progress, the greatest offset that was acknowledged before it began.
    before: HashMap<String, u64>,
    newest_acknowledged: u64,
    acknowledged: BTreeMap<u64, u64>,
    read: HashMap<Client, Vec<u64>>,
    /// The offset after which each reader began, if that is not the beginning.
    began_after: HashMap<Client, u64>,
    finished: Vec<Client>,
    found: Vec<Violation>,
}

impl Log {
    fn apply(&mut self, at: u64, client: Client, act: &Act) {
        match act {
            Act::Publish(payload) => {
                self.before.insert(payload.clone(), self.newest_acknowledged);
            }
            Act::Published(payload, offset) => {
                self.record(at, *offset, payload);
                self.acknowledged.insert(*offset, at);
                self.newest_acknowledged = self.newest_acknowledged.max(*offset);
            }
            Act::Read(offset, payload) => {
                self.record(at, *offset, payload);
                let read = self.read.entry(client).or_default();
                if read.last().is_some_and(|last| last >= offset) {
                    let text = format!("reader c{client} read offset {offset} after {:?}", read.last());
                    self.report(Rule::NothingTwice, at, text);
                } else {
                    read.push(*offset);
                }
            }
            // A reader that resumes in the same history continues where it was.
            Act::Resumed(offset) if !self.read.contains_key(&client) => {
                self.began_after.insert(client, *offset);
            }
            Act::Interrupted(_) => {
                self.began_after.remove(&client);
            }
            _ => {}
        }
    }

    fn record(&mut self, at: u64, offset: u64, payload: &str) {
        match self.at.get(&offset) {
            Some(other) if other != payload => {
                let text = format!("offset {offset} holds both {other} and {payload}");
                self.report(Rule::OneOrder, at, text);
            }
            Some(_) => {}
            None => {
                self.at.insert(offset, payload.to_owned());
            }
        }
        match self.offset_of.insert(payload.to_owned(), offset) {
            Some(other) if other != offset => {
                let text = format!("{payload} has the offsets {other} and {offset}");
                self.report(Rule::NothingTwice, at, text);
            }
            Some(_) => {}
            None => {
                let before = self.before.get(payload).copied().unwrap_or(0);
                if before >= offset {
                    let text = format!(
                        "{payload} got offset {offset} although offset {before} was acknowledged before its publication began"
                    );
                    self.report(Rule::OneOrder, at, text);
                }
            }
        }
    }

    /// A reader has read every acknowledged message between two that it read; at the end, every acknowledged message.
    fn missing(&mut self) {
        for (client, read) in std::mem::take(&mut self.read) {
            let last = match self.finished.contains(&client) {
                true => u64::MAX,
                false => read.last().copied().unwrap_or(0),
            };
            let first = self.began_after.get(&client).copied().unwrap_or(0);
            let acknowledged = self.acknowledged.range(..=last).filter(|(offset, _)| **offset > first);
            let lost: Vec<_> = acknowledged.filter(|(offset, _)| read.binary_search(offset).is_err()).collect();
            if let Some((offset, at)) = lost.first().copied() {
                let text = format!(
                    "reader c{client} did not read {} acknowledged messages; the first has offset {offset}",
                    lost.len()
                );
                let at = *at;
                self.report(Rule::NothingMissing, at, text);
            }
        }
    }

    fn report(&mut self, rule: Rule, at: u64, text: String) {
        self.found.push(Violation { rule, text, window: (at, at), ops: Vec::new() });
    }
}

#[cfg(test)]
mod tests {
    use crate::history::checks::Rule;
    use crate::history::client_id::OUTSIDE;
    use crate::history::event::Act;
    use crate::history::fault::{Fault, FaultKind};
    use crate::history::test_support::{SECOND, broken, history};

    fn published(read: &[(u64, &str)]) -> Vec<Rule> {
        let mut events = Vec::new();
        for (offset, payload) in [(1, "a"), (2, "b"), (5, "c")] {
            events.push((offset, 0, Act::Publish(payload.to_owned())));
            events.push((offset, 0, Act::Published(payload.to_owned(), offset)));
        }
        events.extend(read.iter().map(|(offset, payload)| (9, 1, Act::Read(*offset, (*payload).to_owned()))));
        events.push((10, 1, Act::ObservedToTheEnd));
        broken(&history(events))
    }

    #[test]
    fn readers_see_all_that_was_acknowledged_once_and_in_one_order() {
        assert_eq!(published(&[(1, "a"), (2, "b"), (5, "c")]), []);
        assert_eq!(published(&[(1, "a"), (5, "c")]), [Rule::NothingMissing]);
        assert_eq!(published(&[(1, "a"), (2, "b")]), [Rule::NothingMissing]);
        assert_eq!(published(&[(1, "a"), (2, "b"), (2, "b"), (5, "c")]), [Rule::NothingTwice]);
        assert_eq!(published(&[(1, "a"), (2, "b"), (5, "c"), (6, "c")]), [Rule::NothingTwice]);
        assert_eq!(published(&[(1, "b"), (2, "b"), (5, "c")]), [Rule::OneOrder, Rule::NothingTwice]);
    }

    #[test]
    fn a_reader_without_settling_time_need_not_have_read_all() {
        let fault = || Fault::of_all(FaultKind::RestartServer);
        let last_read = |healed| {
            let published = [Act::Publish("a".to_owned()), Act::Published("a".to_owned(), 1)].map(|act| (1, 0, act));
            let harm = [(2, OUTSIDE, Act::Fault(fault())), (healed, OUTSIDE, Act::Healed(fault()))];
            broken(&history(published.into_iter().chain(harm).chain([(9 * SECOND, 2, Act::ObservedToTheEnd)])))
        };
        assert_eq!(last_read(SECOND), [Rule::NothingMissing]);
        assert_eq!(last_read(8 * SECOND), []);
        assert_eq!(last_read(10 * SECOND), []);
    }

    #[test]
    fn a_later_message_has_a_greater_offset() {
        let publish = |at, payload: &str, offset| {
            [(at, 0, Act::Publish(payload.to_owned())), (at, 0, Act::Published(payload.to_owned(), offset))]
        };
        let events = [publish(1, "a", 7), publish(2, "b", 6)].concat();
        assert_eq!(broken(&history(events)), [Rule::OneOrder]);
    }
}
