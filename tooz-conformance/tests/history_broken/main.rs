//! The rules of histories, each tested with a driver that breaks it. A few seeds must be enough to detect that.

#![allow(clippy::unwrap_used, reason = "a test program")]

mod bug;
mod buggy;

use std::time::Duration;

use tooz_conformance::history::checks::Rule;
use tooz_conformance::history::{FaultKind, MemoryEnvironment, Plan, Timing, Verdict, Workload, judge, run};

use self::bug::Bug;
use self::buggy::DRIVER;

/// The greatest number of seeds that a detection may take.
const SEEDS: u64 = 10;

async fn run_and_judge(bug: Option<Bug>, workload: Workload, seed: u64, kinds: &[FaultKind]) -> Verdict {
    let ms = Duration::from_millis;
    let timing = Timing {
        ttl: ms(3000),
        prompt: ms(100),
        arrival: Duration::ZERO,
        grace: ms(2000),
        expires: true,
        real_time: false,
    };
    let plan = Plan { workload, seed, length: Duration::from_secs(20), processes: (5, 1), timing };
    let name = bug.map_or("correct", |bug| bug.as_str());
    let workload_name = workload.as_str().replace('_', "-");
    let server = format!("{name}.{workload_name}.{seed}.{}", kinds.contains(&FaultKind::Restore));
    let environment = MemoryEnvironment::new(DRIVER, &server);
    judge(&plan, &run(&plan, &environment.with_faults(kinds)).await.unwrap())
}

const OF_CLIENTS: [FaultKind; 4] = [FaultKind::Expire, FaultKind::Partition, FaultKind::BlackHole, FaultKind::Remove];

/// The server is emptied and restored, and has a hostile neighbour.
const OF_DATA: [FaultKind; 4] =
    [FaultKind::Restore, FaultKind::EmptyServer, FaultKind::Neighbour, FaultKind::BlackHole];

/// Checks that one of the seeds breaks the rule.
async fn detects(bug: Bug, workload: Workload, rule: Rule, faults: &[FaultKind]) {
    let mut seen = Vec::new();
    for seed in 0..SEEDS {
        let verdict = run_and_judge(Some(bug), workload, seed, faults).await;
        if verdict.breaks(rule) {
            println!("{bug:?}: {rule:?} after {} seeds\n{verdict}", seed + 1);
            return;
        }
        seen.extend(verdict.violations.iter().map(|violation| violation.rule));
    }
    panic!("{bug:?} expected: a violation of {rule:?} within {SEEDS} seeds; actual: {seen:?}");
}

/// Checks that no seed breaks a rule.
async fn accepts(bug: Option<Bug>, workload: Workload) {
    for seed in 0..4 {
        for faults in [OF_CLIENTS, OF_DATA] {
            let verdict = run_and_judge(bug, workload, seed, &faults).await;
            assert!(verdict.violations.is_empty(), "{bug:?}: {verdict}");
        }
    }
}

macro_rules! detected {
    ($faults:ident: $($name:ident: $bug:ident, $workload:ident, $rule:ident;)*) => {
        $(#[tokio::test(start_paused = true)]
        async fn $name() {
            detects(Bug::$bug, Workload::$workload, Rule::$rule, &$faults).await;
        })*
    };
}

detected! { OF_CLIENTS:
    a_double_grant: GrantsTwice, Lock, Exclusion;
    a_double_grant_of_a_semaphore: GrantsTwice, Semaphore, Exclusion;
    a_writer_among_readers: GrantsTwice, SharedLock, Exclusion;
    grants_without_a_valid_order: GrantsTwice, Lock, Linearizable;
    readers_and_writers_without_a_valid_order: GrantsTwice, SharedLock, Linearizable;
    permits_without_a_valid_order: GrantsTwice, Semaphore, Linearizable;
    tokens_without_a_valid_order: TokensFall, Election, Linearizable;
    a_token_that_falls: TokensFall, Lock, RisingTokens;
    a_write_that_is_overtaken: TokensFall, Lock, Fencing;
    an_overtaken_waiter: Polls, Lock, Order;
    an_expiry_before_its_time: ExpiresEarly, Lock, LossFirst;
    a_holder_that_is_never_notified: ReportsNoLoss, Lock, Exclusion;
    a_removal_that_is_not_reported: EvictsSilently, Lock, LossNotified;
    a_deposed_leader_that_is_not_notified: EvictsSilently, Election, LossNotified;
    a_loss_without_a_cause: LosesAtRandom, Lock, LossHasCause;
    a_release_that_lies: DeniesRelease, Lock, TrueRelease;
    a_lost_wake_up: ForgetsWakeUps, Lock, Wakeup;
    a_crash_that_is_detected_late: ExpiresLate, Lock, Wakeup;
    a_dropped_attempt_that_stays_in_the_queue: WithdrawsNothing, Lock, Wakeup;
    a_release_that_takes_the_next_holders_entry: IgnoresTickets, Lock, LossHasCause;
    an_admission_without_a_recheck: SkipsTheRecheck, Lock, Fencing;
    an_entry_that_is_left_behind: NeverCloses, Lock, NothingLeft;
    two_leaders_of_one_term: ReusesTokens, Election, OneLeader;
    a_watcher_that_misses_an_event: LosesEvents, Group, TrueMembers;
    a_watcher_that_sees_an_event_twice: ReturnsOldSnapshots, Group, OnceInOrder;
    an_observer_that_gets_an_error: FailsToWatch, Election, Uninterrupted;
    a_message_that_is_skipped: SkipsMessages, Topic, NothingMissing;
    a_message_that_is_repeated: RepeatsMessages, Topic, NothingTwice;
    a_message_with_two_offsets: Renumbers, Topic, OneOrder;
}

detected! { OF_DATA:
    an_observer_that_is_deaf_after_a_replacement: HidesItsHistory, Election, TrueLeader;
    a_reader_that_is_deaf_after_a_replacement: HidesItsHistory, Topic, NothingMissing;
    a_holder_that_outlives_the_server: OutlivesTheServer, Lock, LostWithServer;
    a_leader_that_outlives_the_server: OutlivesTheServer, Election, LostWithServer;
    a_watcher_that_a_neighbour_stops: ChokesOnForeignValues, Group, Uninterrupted;
}

/// A lagging replica may answer reads with old snapshots. Core skips what is older than what it has shown.
#[tokio::test(start_paused = true)]
async fn a_lagging_replica_does_not_move_an_observer_back() {
    accepts(Some(Bug::ReturnsOldSnapshots), Workload::Election).await;
}

#[tokio::test(start_paused = true)]
async fn a_correct_driver_is_accepted() {
    for workload in Workload::ALL {
        accepts(None, workload).await;
    }
}

/// The margin of a tenth in the deadline covers this. Without it, the holder would be notified too late.
#[tokio::test(start_paused = true)]
async fn a_server_whose_clock_is_five_percent_fast_is_accepted() {
    accepts(Some(Bug::FastClock), Workload::Lock).await;
    accepts(Some(Bug::FastClock), Workload::Election).await;
}
