//! The behaviour suite on one etcd member.

mod etcd_specific;

use std::process::ExitCode;
use std::time::Duration;

use etcd_specific::{cost, failures, foreign_keys, queue, restore, tls, users};
use tooz_conformance::servers::etcd;
use tooz_conformance::{Harness, Needs};

const LONG: Needs = Needs::OWN_SERVER.within(Duration::from_secs(150));

fn main() -> ExitCode {
    let url = |addresses: &[String]| format!("etcd://{}", addresses.join(","));
    let harness = Harness::new("etcd", tooz_etcd::DRIVER, etcd::single(), url);
    let harness = tls_trials(restore_trials(cost_trials(access_trials(failure_trials(harness)))));
    tooz_conformance::main(harness.with_scale_trials())
}

fn failure_trials(harness: Harness) -> Harness {
    harness
        .trial(
            "etcd::a_revoked_lease_is_reported_at_once",
            Needs::NOTHING,
            failures::a_revoked_lease_is_reported_at_once,
        )
        .trial(
            "etcd::a_compaction_while_a_watch_is_cut_loses_nothing",
            Needs::OWN_SERVER.and_proxy(),
            failures::a_compaction_while_a_watch_is_cut_loses_nothing,
        )
        .trial(
            "etcd::a_full_database_is_reported_and_locks_can_be_released",
            Needs::OWN_SERVER,
            failures::a_full_database_is_reported_and_locks_can_be_released,
        )
        .trial(
            "etcd::a_message_that_is_too_large_is_refused_with_both_sizes",
            Needs::NOTHING,
            failures::a_message_that_is_too_large_is_refused_with_both_sizes,
        )
        .trial(
            "etcd::something_else_at_the_address_is_named",
            Needs::NOTHING,
            failures::something_else_at_the_address_is_named,
        )
        .trial(
            "etcd::entries_removed_together_admit_no_waiter",
            Needs::NOTHING,
            failures::entries_removed_together_admit_no_waiter,
        )
        .trial(
            "etcd::a_large_snapshot_does_not_delay_renewals",
            Needs::NOTHING,
            failures::a_large_snapshot_does_not_delay_renewals,
        )
        .trial("etcd::a_wide_semaphore_wakes_its_waiter", Needs::NOTHING, failures::a_wide_semaphore_wakes_its_waiter)
        .trial("etcd::an_idle_session_is_not_cut_off", Needs::PROXY, failures::an_idle_session_is_not_cut_off)
}

fn access_trials(harness: Harness) -> Harness {
    harness
        .trial("etcd::an_admitted_entry_keeps_its_value", Needs::NOTHING, queue::an_admitted_entry_keeps_its_value)
        .trial(
            "etcd::a_waiter_that_gives_up_admits_no_other",
            Needs::NOTHING,
            queue::a_waiter_that_gives_up_admits_no_other,
        )
        .trial(
            "etcd::a_waiter_removed_with_the_holder_is_not_admitted",
            Needs::NOTHING,
            queue::a_waiter_removed_with_the_holder_is_not_admitted,
        )
        .trial(
            "etcd::a_waiter_that_is_not_polled_holds_up_no_other",
            Needs::NOTHING,
            queue::a_waiter_that_is_not_polled_holds_up_no_other,
        )
        .trial(
            "etcd::a_queue_removed_at_once_admits_no_waiter",
            Needs::NOTHING,
            queue::a_queue_removed_at_once_admits_no_waiter,
        )
        .trial(
            "etcd::a_user_needs_the_namespace_and_nothing_else",
            Needs::OWN_SERVER,
            users::a_user_needs_the_namespace_and_nothing_else,
        )
        .trial("etcd::an_expired_token_is_replaced", Needs::NOTHING, users::an_expired_token_is_replaced)
}

/// Leaves the harness as it is in a build without TLS.
fn tls_trials(harness: Harness) -> Harness {
    if !cfg!(feature = "tls") {
        return harness;
    }
    harness.trial("etcd::wrong_certificates_are_reported", Needs::NOTHING, tls::wrong_certificates_are_reported)
}

fn cost_trials(harness: Harness) -> Harness {
    harness
        .trial(
            "etcd::each_verb_of_a_lock_is_one_transaction",
            Needs::OWN_SERVER,
            cost::each_verb_of_a_lock_is_one_transaction,
        )
        .trial(
            "etcd::a_hand_over_is_a_transaction_an_event_and_a_read",
            Needs::OWN_SERVER,
            cost::a_hand_over_is_a_transaction_an_event_and_a_read,
        )
        .trial(
            "etcd::no_lock_leaves_more_than_a_key_behind",
            Needs::OWN_SERVER,
            cost::no_lock_leaves_more_than_a_key_behind,
        )
        .trial(
            "etcd::a_release_wakes_one_of_a_thousand_waiters",
            Needs::OWN_SERVER,
            cost::a_release_wakes_one_of_a_thousand_waiters,
        )
        .trial(
            "etcd::a_semaphore_passes_a_permit_on_with_four_transactions",
            LONG,
            cost::a_semaphore_passes_a_permit_on_with_four_transactions,
        )
        .trial(
            "etcd::a_message_of_many_publishers_is_one_transaction",
            LONG,
            cost::a_message_of_many_publishers_is_one_transaction,
        )
        .trial(
            "etcd::one_message_renews_any_number_of_locks",
            Needs::OWN_SERVER,
            cost::one_message_renews_any_number_of_locks,
        )
}

fn restore_trials(harness: Harness) -> Harness {
    harness
        .trial("etcd::a_restored_server_ends_sessions", Needs::NOTHING, restore::a_restored_server_ends_sessions)
        .trial(
            "etcd::a_renewal_notices_a_restored_server",
            Needs::NOTHING,
            restore::a_renewal_notices_a_restored_server,
        )
        .trial(
            "etcd::a_session_misses_its_entries_after_a_restore",
            Needs::NOTHING,
            restore::a_session_misses_its_entries_after_a_restore,
        )
        .trial("etcd::an_emptied_server_is_noticed", Needs::NOTHING, restore::an_emptied_server_is_noticed)
        .trial(
            "etcd::a_foreign_key_does_not_hide_a_roster",
            Needs::NOTHING,
            foreign_keys::a_foreign_key_does_not_hide_a_roster,
        )
        .trial(
            "etcd::an_unreadable_entry_can_be_evicted",
            Needs::NOTHING,
            foreign_keys::an_unreadable_entry_can_be_evicted,
        )
        .trial("etcd::a_foreign_key_hides_no_message", Needs::NOTHING, foreign_keys::a_foreign_key_hides_no_message)
        .trial("etcd::offsets_do_not_overflow", Needs::NOTHING, foreign_keys::offsets_do_not_overflow)
        .trial(
            "etcd::an_enter_that_failed_for_good_leaves_nothing",
            Needs::NOTHING,
            foreign_keys::an_enter_that_failed_for_good_leaves_nothing,
        )
        .trial(
            "etcd::a_ttl_out_of_range_is_an_invalid_option",
            Needs::NOTHING,
            foreign_keys::a_ttl_out_of_range_is_an_invalid_option,
        )
}
