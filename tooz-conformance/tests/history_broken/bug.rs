//! The bugs that the driver of these tests can have.

macro_rules! bugs {
    ($($(#[$doc:meta])* $bug:ident = $name:literal;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Bug {
            $($(#[$doc])* $bug,)*
        }

        impl Bug {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$bug),*];

            /// The name in the URL.
            pub(crate) fn as_str(self) -> &'static str {
                match self {
                    $(Self::$bug => $name,)*
                }
            }
        }
    };
}

bugs! {
    /// A waiter is admitted at once.
    GrantsTwice = "grants-twice";
    /// Later entries have smaller tokens.
    TokensFall = "tokens-fall";
    /// Two consecutive entries have the same token.
    ReusesTokens = "reuses-tokens";
    /// Waiters poll instead of waiting in the queue.
    Polls = "polls";
    /// Sessions live for less than the reported TTL.
    ExpiresEarly = "expires-early";
    /// The server's clock is 5 % fast, which is not a bug.
    FastClock = "fast-clock";
    /// Sessions live for longer than the reported TTL.
    ExpiresLate = "expires-late";
    /// Sessions live for half the reported TTL, and neither a renewal nor a push reports their end.
    ReportsNoLoss = "reports-no-loss";
    /// A push reports the end of a live session.
    LosesAtRandom = "loses-at-random";
    /// The owner of an evicted entry is not notified.
    EvictsSilently = "evicts-silently";
    /// `leave` removes the entry and returns false.
    DeniesRelease = "denies-release";
    /// `leave` removes the first entry of the roster.
    IgnoresTickets = "ignores-tickets";
    /// Waiters are not woken.
    ForgetsWakeUps = "forgets-wake-ups";
    /// `withdraw`, and the `leave` of a waiter, remove nothing.
    WithdrawsNothing = "withdraws-nothing";
    /// A woken waiter does not check whether its entry exists, and nothing else reports the removal.
    SkipsTheRecheck = "skips-the-recheck";
    /// `close` does nothing, the session is renewed without end, and withdrawn waiters stay in the queue.
    NeverCloses = "never-closes";
    /// A snapshot skips one change.
    LosesEvents = "loses-events";
    /// Some snapshots are older than the previous one.
    ReturnsOldSnapshots = "returns-old-snapshots";
    /// A snapshot fails with an error that core cannot repair.
    FailsToWatch = "fails-to-watch";
    /// Some messages are skipped.
    SkipsMessages = "skips-messages";
    /// Some messages are published twice.
    RepeatsMessages = "repeats-messages";
    /// A session does not say that it belongs to another history of the server.
    HidesItsHistory = "hides-its-history";
    /// Neither a renewal nor a push reports that the server has lost the session.
    OutlivesTheServer = "outlives-the-server";
    /// A roster cannot be read if it contains an unreadable value.
    ChokesOnForeignValues = "chokes-on-foreign-values";
    /// Offsets depend on the position of the reader.
    Renumbers = "renumbers";
}
