//! What an event costs, at small sizes: requests as the server counts them, bytes as a proxy does, and never time.
//! `cargo bench -- --only scale` measures large sizes.
//!
//! Each size is so large that a cost exceeds the limits if it grows faster than they allow.

use std::time::Duration;

use crate::scale::{CANDIDATES, CHANGES, IDLE_WATCHERS, NEW_WATCHERS, RESTARTS, Row, SUBSCRIBERS, Setting};
use crate::{Context, Failure, Needs, Trial};

/// One trial: a row at one size, and the greatest value of some of its quantities.
struct Limits {
    name: &'static str,
    row: Row,
    size: u64,
    watchers: u64,
    greatest: &'static [(&'static str, f64)],
}

/// One message of a few hundred bytes, and now and then a request.
const ONE_MESSAGE: &[(&str, f64)] = &[("requests", 1.0), ("bytes sent", 100.0), ("bytes received", 500.0)];

/// The bytes of a listing of 100 names, in addition to one small message.
const NAMES: f64 = 100.0 * 70.0;

/// One listing of the names of 100 entries, one read of an entry that is new, and now and then a renewal.
const ONE_LISTING: &[(&str, f64)] = &[("requests", 2.5), ("bytes sent", 250.0), ("bytes received", 500.0 + NAMES)];

const BY_CHANGES: [Limits; 4] = [
    Limits {
        name: "a_join_or_leave_costs_each_watcher_one_small_message",
        row: CHANGES,
        size: 100,
        watchers: 10,
        greatest: ONE_MESSAGE,
    },
    Limits {
        name: "a_restart_of_all_members_costs_each_watcher_one_small_message_a_change",
        row: RESTARTS,
        size: 100,
        watchers: 10,
        greatest: &[("requests", 1.0), ("bytes sent", 100.0), ("bytes received", 500.0), ("sessions lost", 0.0)],
    },
    Limits {
        name: "a_new_watcher_makes_no_other_read",
        row: NEW_WATCHERS,
        size: 40,
        watchers: 0,
        greatest: &[("requests", 8.0), ("bytes received", 30_000.0)],
    },
    Limits {
        name: "a_candidate_costs_each_observer_at_most_one_small_message",
        row: CANDIDATES,
        size: 100,
        watchers: 10,
        greatest: ONE_MESSAGE,
    },
];

const BY_LISTINGS: [Limits; 4] = [
    Limits {
        name: "a_join_or_leave_costs_each_watcher_one_listing_of_names",
        row: CHANGES,
        size: 100,
        watchers: 10,
        greatest: ONE_LISTING,
    },
    Limits {
        name: "a_restart_of_all_members_costs_each_watcher_at_most_one_listing_a_change",
        row: RESTARTS,
        size: 100,
        watchers: 10,
        greatest: &[
            ("requests", 2.5),
            ("bytes sent", 250.0),
            ("bytes received", 500.0 + NAMES),
            ("sessions lost", 0.0),
        ],
    },
    Limits {
        name: "a_new_watcher_reads_each_member_once_and_makes_no_other_read",
        row: NEW_WATCHERS,
        size: 40,
        watchers: 0,
        greatest: &[("requests", 108.0), ("bytes received", 30_000.0)],
    },
    Limits {
        name: "a_candidate_costs_each_observer_at_most_one_listing_of_names",
        row: CANDIDATES,
        size: 100,
        watchers: 10,
        greatest: ONE_LISTING,
    },
];

const ALWAYS: [Limits; 2] = [
    Limits {
        name: "idle_watchers_send_little_and_read_nothing",
        row: IDLE_WATCHERS,
        size: 20,
        watchers: 0,
        greatest: &[("requests", 2.5), ("bytes sent", 1000.0), ("bytes received", 1000.0)],
    },
    Limits {
        name: "the_subscribers_of_one_coordinator_receive_a_message_once",
        row: SUBSCRIBERS,
        size: 100,
        watchers: 0,
        greatest: &[("requests", 10.0), ("bytes received", 2000.0)],
    },
];

/// The trials for a driver whose watchers receive the changes.
pub(crate) fn by_changes() -> Vec<Trial> {
    trials(BY_CHANGES)
}

/// The trials for a driver whose watchers list the names after a change, and read the entries that are new.
pub(crate) fn by_listings() -> Vec<Trial> {
    trials(BY_LISTINGS)
}

fn trials(limits: [Limits; 4]) -> Vec<Trial> {
    let needs = Needs::OWN_SERVER.and_proxy().within(Duration::from_secs(120));
    let trial = |limits: Limits| {
        let Limits { name, row, size, watchers, greatest } = limits;
        Trial::new(format!("scale::{name}"), needs, move |context| keeps(context, row, (size, watchers), greatest))
    };
    limits.into_iter().chain(ALWAYS).map(trial).collect()
}

/// Measures the row and compares it with the limits.
async fn keeps(
    context: Context,
    row: Row,
    (size, watchers): (u64, u64),
    greatest: &[(&str, f64)],
) -> Result<(), Failure> {
    if context.server()?.nodes().len() != 1 || context.statistics().await?.is_none() {
        return Err(Failure::ignored("requests are counted where one server tells its statistics"));
    }
    if row.size == SUBSCRIBERS.size && !context.info()?.topics {
        return Err(Failure::ignored("the backend has no topics"));
    }
    let values = (row.measure)(Setting { context, size, watchers }).await?;
    // A quantity that was not measured keeps no limit.
    let exceeded = |(name, greatest): &&(&str, f64)| {
        let measured = values.iter().find(|(quantity, _)| quantity == name);
        measured.is_none_or(|(_, value)| value > greatest)
    };
    match greatest.iter().find(exceeded) {
        Some((name, greatest)) => Err(Failure::new(format!(
            "expected: {}, with {size} {}, costs at most {greatest} {name} for each {}\nactual: {values:.1?}",
            row.name, row.size, row.per
        ))),
        None => Ok(()),
    }
}
