//! The faults of the broken driver, and the trials that must detect each of them.

use tooz_core::OptionValue;

/// One broken promise of the driver contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The name, as in the URL.
    pub name: &'static str,
    /// The trials that must fail.
    pub detected_by: &'static [&'static str],
    pub(super) kind: FaultKind,
}

macro_rules! faults {
    ($($(#[$doc:meta])* $kind:ident = $name:literal: $($trial:literal),+;)*) => {
        /// The kind of a [`Fault`]; see [`Fault::ALL`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum FaultKind {
            $($(#[$doc])* $kind,)*
        }

        impl Fault {
            /// Every fault of the broken driver.
            pub const ALL: &'static [Self] =
                &[$(Self { name: $name, detected_by: &[$($trial),+], kind: FaultKind::$kind }),*];
        }
    };
}

faults! {
    /// A waiter is notified of an admission that did not happen.
    GrantsTwice = "grants-twice":
        "driver::enter_admits_exactly_the_limit", "driver::standing_agrees_with_admission",
        "lock::the_lock_excludes_under_contention", "election::candidates_are_served_in_order";
    /// `await_turn` returns at once.
    GrantsOutOfTurn = "grants-out-of-turn":
        "driver::leave_admits_only_the_next", "driver::await_turn_agrees_with_the_provided_one",
        "lock::waiters_are_served_in_order";
    /// `await_turn` never returns for a waiter.
    ForgetsWakeUps = "forgets-wake-ups":
        "driver::leave_wakes_the_next_waiter", "lock::waiters_are_served_in_order";
    /// A waiter waits only for the entry that blocked it at first.
    WatchesOneBlocker = "watches-one-blocker":
        "driver::a_semaphore_wakes_its_waiter_when_any_holder_leaves", "driver::a_writer_waits_for_every_reader",
        "semaphore::any_release_admits_the_next_waiter";
    /// `await_turn` succeeds although the entry is gone.
    AdmitsTheRemoved = "admits-the-removed":
        "driver::await_turn_fails_when_the_entry_is_gone";
    /// A wait fails after the request timeout.
    WaitsTimeOut = "waits-time-out":
        "driver::waits_have_no_time_limit";
    /// Two consecutive entries have the same seq.
    ReusesTokens = "reuses-tokens":
        "driver::seq_rises_after_the_roster_was_empty", "lock::tokens_rise_from_holder_to_holder";
    /// A snapshot waits for the next change even if the roster is newer than the version.
    LosesEvents = "loses-events":
        "driver::snapshot_misses_nothing_between_calls", "driver::snapshot_goes_on_after_it_was_dropped";
    /// A follower receives all changes but every third.
    MissesChanges = "misses-changes":
        "driver::follow_agrees_with_the_provided_one", "group::watchers_agree_after_many_changes";
    /// A follower receives each change twice.
    RepeatsChanges = "repeats-changes":
        "driver::follow_agrees_with_the_provided_one";
    /// A follower receives two changes in the wrong order.
    ReordersChanges = "reorders-changes":
        "driver::follow_agrees_with_the_provided_one";
    /// A follower does not receive a removal directly after its snapshot.
    ForgetsADeparture = "forgets-a-departure":
        "driver::follow_reports_the_end_of_a_session";
    /// A watch of the names reports no name that comes into use after it has begun.
    ForgetsNames = "forgets-names":
        "driver::a_watch_of_names_misses_none";
    /// A watch of the names reports an election when a lock comes into use.
    ConfusesNames = "confuses-names":
        "driver::a_watch_of_names_misses_none";
    /// `leave` removes the first entry of the roster.
    IgnoresTickets = "ignores-tickets":
        "driver::leave_compares_the_ticket", "driver::leave_is_idempotent";
    /// `withdraw` removes nothing.
    WithdrawsNothing = "withdraws-nothing":
        "driver::withdraw_removes_the_entry", "driver::withdraw_after_a_dropped_enter_leaves_nothing";
    /// `withdraw` leaves no tombstone, so a later `enter` succeeds.
    AdmitsTheWithdrawn = "admits-the-withdrawn":
        "driver::withdraw_rejects_a_late_enter";
    /// Only the last withdrawal leaves a tombstone.
    RemembersOneTombstone = "remembers-one-tombstone":
        "driver::withdraw_rejects_many_late_enters";
    /// A repeated `enter` adds another entry.
    EntersTwice = "enters-twice":
        "driver::enter_is_idempotent_by_nonce", "driver::enter_is_idempotent_while_it_runs_twice";
    /// An entry with `IfBlocked::Withdraw` stays in the queue.
    LeavesTheBlocked = "leaves-the-blocked":
        "driver::enter_that_withdraws_leaves_nothing", "lock::try_acquire_does_not_wait_and_leaves_nothing";
    /// Readers exclude each other.
    SharesNothing = "shares-nothing":
        "driver::shared_entries_are_admitted_together", "lock::readers_share_and_writers_do_not";
    /// Every limit is 1.
    IgnoresLimits = "ignores-limits":
        "driver::a_semaphore_admits_its_limit", "semaphore::a_dropped_guard_gives_its_permit_back";
    /// A session lives although nothing renews it.
    NeverExpires = "never-expires":
        "driver::a_session_that_is_not_renewed_expires", "driver::a_dropped_session_ends_by_itself";
    /// The session ends after half of the TTL that it reports.
    PromisesTooMuch = "promises-too-much":
        "driver::a_session_lives_for_its_ttl";
    /// The entries of a closed session remain.
    KeepsTheClosed = "keeps-the-closed":
        "driver::close_removes_every_entry", "guard::closing_the_coordinator_notifies_the_guard";
    /// The owner of an evicted entry is not notified.
    EvictsSilently = "evicts-silently":
        "driver::evict_notifies_the_owner_once", "lock::break_lock_notifies_the_holder_and_admits_the_next";
    /// A session is not notified of the entries that it evicts by itself.
    HidesOwnEvictions = "hides-own-evictions":
        "driver::evict_notifies_its_own_session";
    /// An entry that waits cannot be evicted.
    EvictsHoldersOnly = "evicts-holders-only":
        "driver::evict_wakes_the_next";
    /// A dropped call of `lost` loses the report that it would have returned.
    DropsReports = "drops-reports":
        "driver::a_report_survives_dropped_calls";
    /// Keys need not be unique.
    IgnoresKeys = "ignores-keys":
        "driver::a_unique_key_refuses_a_second_entry", "driver::a_unique_key_is_taken_once_by_many_at_a_time";
    /// A repeated `enter` finds its key taken by its own entry.
    RefusesItsOwnKey = "refuses-its-own-key":
        "driver::a_unique_key_refuses_a_second_entry";
    /// Rosters that were not declared accept entries.
    IgnoresDeclarations = "ignores-declarations":
        "driver::needs_declared_is_checked", "group::what_is_not_created_cannot_be_used";
    /// A roster with entries is retracted.
    RetractsTheUsed = "retracts-the-used":
        "driver::retract_requires_an_empty_roster", "group::delete_requires_an_empty_group";
    /// Rosters of different kinds are the same.
    MixesKinds = "mixes-kinds":
        "driver::kinds_are_separate", "semaphore::a_semaphore_and_a_lock_of_one_name_are_separate";
    /// All namespaces are the same.
    MixesNamespaces = "mixes-namespaces":
        "driver::namespaces_are_separate", "coordinator::namespaces_are_separate";
    /// Names that differ only in case are the same.
    FoldsCase = "folds-case":
        "driver::rosters_have_any_name", "driver::declared_lists_every_name", "lock::any_name_is_a_lock";
    /// Names are cut off after 63 bytes.
    TruncatesNames = "truncates-names":
        "driver::rosters_have_any_name", "driver::topic_names_are_any_bytes";
    /// A page of names that follows another begins one name too late.
    SkipsNames = "skips-names":
        "driver::rosters_lists_what_has_entries", "coordinator::many_names_are_listed_in_pages";
    /// An eviction is reported with the next renewal instead of at once.
    ReportsLossesLate = "reports-losses-late":
        "driver::a_loss_is_pushed_between_renewals";
    /// A taken key is refused although the new entry takes it over.
    RefusesTakeOvers = "refuses-take-overs":
        "driver::a_unique_key_is_taken_over";
    /// The owner of an entry that is taken over is not notified.
    TakesOverSilently = "takes-over-silently":
        "driver::a_unique_key_is_taken_over";
    /// A take-over does not wake the waiters that it admits.
    TakesOverAsleep = "takes-over-asleep":
        "driver::a_take_over_wakes_the_next";
    /// A taken key is taken over although the new entry does not ask for it.
    TakesOverUnasked = "takes-over-unasked":
        "driver::a_unique_key_refuses_a_second_entry";
    /// A second eviction says that it removed an entry.
    EvictsTheGone = "evicts-the-gone":
        "driver::evict_is_idempotent";
    /// `leave` always says that it removed an entry.
    LeavesTheGone = "leaves-the-gone":
        "driver::leave_is_idempotent";
    /// `declare` always says that the roster was not declared.
    DeclaresAgain = "declares-again":
        "driver::declare_is_idempotent";
    /// `retract` of a roster that is not declared succeeds.
    RetractsTheUndeclared = "retracts-the-undeclared":
        "driver::retract_is_refused_twice";
    /// `replace` of an entry that is gone succeeds.
    ReplacesTheGone = "replaces-the-gone":
        "driver::replace_compares_the_ticket";
    /// Declared names come in another order.
    ListsUnsorted = "lists-unsorted":
        "driver::declared_lists_every_name";
    /// At most 100 declared names are listed.
    DeclaresAPage = "declares-a-page":
        "driver::declared_lists_many_names";
    /// A roster that was retracted is still in the list of declared ones.
    RemembersRetracted = "remembers-retracted":
        "driver::a_namespace_can_be_emptied";
    /// A page of names is longer than its limit.
    IgnoresPages = "ignores-pages":
        "driver::rosters_lists_every_name_once";
    /// A snapshot lists the newest entry first.
    ReversesEntries = "reverses-entries":
        "driver::snapshot_returns_the_present_entries";
    /// A snapshot shows no unique keys.
    HidesKeys = "hides-keys":
        "driver::snapshot_shows_unique_keys";
    /// A snapshot shows the limit 1 for all entries.
    HidesLimits = "hides-limits":
        "driver::snapshot_shows_mode_and_limit";
    /// A snapshot does not say that the roster is declared.
    HidesDeclarations = "hides-declarations":
        "driver::snapshot_reports_every_kind_of_change";
    /// Each snapshot has another version.
    ChangesVersions = "changes-versions":
        "driver::snapshot_has_the_same_version_without_a_change";
    /// The entry that blocks is the first one and not the nearest.
    BlamesTheFirst = "blames-the-first":
        "driver::standing_agrees_with_admission";
    /// A repeated `enter` returns the standing of the first one.
    RemembersStandings = "remembers-standings":
        "driver::a_repeated_enter_returns_the_present_standing";
    /// A closed session can still read.
    ReadsAfterClose = "reads-after-close":
        "driver::close_ends_every_verb";
    /// A second `close` fails.
    ClosesOnce = "closes-once":
        "driver::close_is_idempotent";
    /// A renewal of an expired session succeeds.
    RenewsTheDead = "renews-the-dead":
        "driver::a_session_that_is_not_renewed_expires";
    /// The bounds of a topic never change.
    ForgetsBounds = "forgets-bounds":
        "driver::topic_bounds_follow_the_log";
    /// `read` returns more messages than its limit.
    ReadsTooMany = "reads-too-many":
        "driver::topic_read_respects_the_limit";
    /// `publish` returns the offset of the message before.
    ReturnsOldOffsets = "returns-old-offsets":
        "driver::topic_publish_returns_the_offset_of_its_message";
    /// A new value is not stored.
    ForgetsValues = "forgets-values":
        "driver::replace_changes_the_value_and_nothing_else", "group::update_changes_the_capabilities";
    /// The value of an entry that waits cannot be replaced.
    ReplacesHoldersOnly = "replaces-holders-only":
        "driver::standing_agrees_with_admission";
    /// Of several messages only the last is read.
    SkipsMessages = "skips-messages":
        "driver::topic_order_is_the_same_for_all", "topic::earliest_begins_with_the_oldest";
    /// A message is published twice.
    RepeatsMessages = "repeats-messages":
        "driver::topic_order_is_the_same_for_all", "topic::earliest_begins_with_the_oldest";
    /// Of several readers in one session only the first is woken.
    WakesOneReader = "wakes-one-reader":
        "driver::topic_readers_are_all_woken";
    /// A reader is not notified that it missed messages.
    HidesGaps = "hides-gaps":
        "driver::topic_reader_that_fell_behind_gets_a_gap_error", "topic::a_subscriber_that_fell_behind_gets_one_gap_error";
    /// Retention removes more than it should.
    KeepsTooFew = "keeps-too-few":
        "driver::topic_retention_keeps_the_newest", "topic::a_subscriber_that_fell_behind_gets_one_gap_error";
}

impl OptionValue for Fault {
    const EXPECTED: &'static str = "the name of a fault, such as grants-twice";

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|fault| fault.name == text).copied()
    }
}
