//! The ways to be broken, and which trials must notice.

use tooz_core::OptionValue;

/// One promise that is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its name, as in the URL.
    pub name: &'static str,
    /// The trials that must fail.
    pub noticed_by: &'static [&'static str],
    pub(super) kind: FaultKind,
}

macro_rules! faults {
    ($($(#[$doc:meta])* $kind:ident = $name:literal: $($trial:literal),+;)*) => {
        /// Which promise; see [`Fault::ALL`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum FaultKind {
            $($(#[$doc])* $kind,)*
        }

        impl Fault {
            /// Every way in which the driver can be broken.
            pub const ALL: &'static [Self] =
                &[$(Self { name: $name, noticed_by: &[$($trial),+], kind: FaultKind::$kind }),*];
        }
    };
}

faults! {
    /// Who should wait is told that it is admitted.
    GrantsTwice = "grants-twice":
        "driver::enter_admits_exactly_the_limit", "driver::standing_agrees_with_admission",
        "lock::the_lock_excludes_under_contention", "election::candidates_are_served_in_order";
    /// A waiter is let in at once.
    GrantsOutOfTurn = "grants-out-of-turn":
        "driver::leave_admits_only_the_next", "driver::await_turn_agrees_with_the_provided_one",
        "lock::waiters_are_served_in_order";
    /// A waiter is never told that its turn has come.
    ForgetsWakeUps = "forgets-wake-ups":
        "driver::leave_wakes_the_next_waiter", "lock::waiters_are_served_in_order";
    /// A waiter waits for the entry that blocked it at first and for no other.
    WatchesOneBlocker = "watches-one-blocker":
        "driver::a_semaphore_wakes_its_waiter_whoever_leaves", "driver::a_writer_waits_for_every_reader",
        "semaphore::whoever_releases_lets_the_next_in";
    /// The turn of an entry comes even if the entry is gone.
    TurnOfTheDead = "turn-of-the-dead":
        "driver::await_turn_fails_when_the_entry_is_gone";
    /// Two entries in a row have one seq.
    ReusesTokens = "reuses-tokens":
        "driver::seq_rises_after_the_roster_was_empty", "lock::tokens_rise_from_holder_to_holder";
    /// A snapshot waits for the next change, also when the roster is newer already.
    LosesEvents = "loses-events":
        "driver::snapshot_misses_nothing_between_calls", "driver::snapshot_goes_on_after_it_was_dropped";
    /// `leave` removes whatever stands first.
    IgnoresTickets = "ignores-tickets":
        "driver::leave_compares_the_ticket", "driver::leave_is_idempotent";
    /// `withdraw` removes nothing.
    WithdrawsNothing = "withdraws-nothing":
        "driver::withdraw_removes_the_entry", "driver::withdraw_after_a_dropped_enter_leaves_nothing";
    /// `withdraw` does not bar an `enter` that comes later.
    AdmitsTheWithdrawn = "admits-the-withdrawn":
        "driver::withdraw_bars_a_late_enter";
    /// A repeated `enter` makes another entry.
    EntersTwice = "enters-twice":
        "driver::enter_is_idempotent_by_nonce", "driver::enter_is_idempotent_while_it_runs_twice";
    /// An entry that was to withdraw stands in line.
    LeavesTheBlocked = "leaves-the-blocked":
        "driver::enter_that_withdraws_leaves_nothing", "lock::try_acquire_does_not_wait_and_leaves_nothing";
    /// Readers exclude each other.
    SharesNothing = "shares-nothing":
        "driver::shared_entries_stand_together", "lock::readers_share_and_writers_do_not";
    /// Every limit is 1.
    IgnoresLimits = "ignores-limits":
        "driver::a_semaphore_admits_its_limit", "semaphore::a_dropped_guard_gives_its_permit_back";
    /// A session lives although nobody renews it.
    NeverExpires = "never-expires":
        "driver::a_session_that_is_not_renewed_expires", "driver::a_dropped_session_ends_by_itself";
    /// The entries of a closed session stand on.
    KeepsTheClosed = "keeps-the-closed":
        "driver::close_removes_every_entry", "guard::closing_the_coordinator_is_told_to_the_guard";
    /// The owner of an evicted entry is not told.
    EvictsSilently = "evicts-silently":
        "driver::evict_tells_the_owner_once", "lock::break_lock_tells_the_holder_and_lets_the_next_in";
    /// Keys need not be unique.
    IgnoresKeys = "ignores-keys":
        "driver::a_unique_key_refuses_a_second_entry", "driver::a_unique_key_is_taken_once_by_many_at_a_time";
    /// Entries stand in rosters that were not declared.
    IgnoresDeclarations = "ignores-declarations":
        "driver::needs_declared_is_checked", "group::what_is_not_created_cannot_be_used";
    /// A roster with entries is retracted.
    RetractsTheUsed = "retracts-the-used":
        "driver::retract_wants_an_empty_roster", "group::delete_wants_an_empty_group";
    /// Rosters of all kinds are one.
    MixesKinds = "mixes-kinds":
        "driver::kinds_are_separate", "semaphore::it_is_another_thing_than_a_lock_of_its_name";
    /// All namespaces are one.
    MixesNamespaces = "mixes-namespaces":
        "driver::namespaces_are_separate", "coordinator::namespaces_do_not_meet";
    /// Names that differ in their case are one.
    FoldsCase = "folds-case":
        "driver::rosters_have_any_name", "driver::declared_lists_every_name", "lock::any_name_is_a_lock";
    /// A new value is not stored.
    ForgetsValues = "forgets-values":
        "driver::replace_changes_the_value_and_nothing_else", "group::update_changes_the_capabilities";
    /// Of several messages only the last is read.
    SkipsMessages = "skips-messages":
        "driver::topic_order_is_the_same_for_all", "topic::earliest_begins_with_the_oldest";
    /// A message is published twice.
    RepeatsMessages = "repeats-messages":
        "driver::topic_order_is_the_same_for_all", "topic::earliest_begins_with_the_oldest";
    /// A reader is not told of what it has missed.
    HidesGaps = "hides-gaps":
        "driver::topic_reader_that_fell_behind_is_told", "topic::a_subscriber_that_fell_behind_is_told_once";
    /// Retention removes more than it should.
    KeepsTooFew = "keeps-too-few":
        "driver::topic_retention_keeps_the_newest", "topic::a_subscriber_that_fell_behind_is_told_once";
}

impl OptionValue for Fault {
    const EXPECTED: &'static str = "the name of a fault, such as grants-twice";

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|fault| fault.name == text).copied()
    }
}
