//! Why a trial failed, or why it cannot run here, and the macros that check expectations.

use std::error::Error;
use std::fmt;

/// The reason of a trial that did not pass. Any error turns into one with `?`.
#[derive(Clone, PartialEq, Eq)]
pub struct Failure {
    message: String,
    ignored: bool,
}

impl Failure {
    /// The trial failed.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ignored: false }
    }

    /// The trial cannot be run here: it is shown as ignored, with the reason.
    pub fn ignored(reason: impl Into<String>) -> Self {
        Self { message: reason.into(), ignored: true }
    }

    /// Whether the trial could not be run here.
    pub fn is_ignored(&self) -> bool {
        self.ignored
    }

    /// Adds the rule that the driver must keep.
    #[must_use]
    pub(crate) fn with_rule(mut self, rule: &str) -> Self {
        if !self.ignored {
            self.message = format!("{}\nrule: {rule}", self.message);
        }
        self
    }

    /// Says what was being done.
    #[must_use]
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            // Some errors name their causes in their own text.
            if !message.contains(&cause_text) {
                message = format!("{message}: {cause_text}");
            }
            source = cause.source();
        }
        Self::new(message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Returns a [`Failure`] from the trial: `fail!("the second holder got {token}")`.
#[macro_export]
macro_rules! fail {
    ($($message:tt)+) => {
        return ::core::result::Result::Err($crate::Failure::new(::std::format!($($message)+)))
    };
}

/// Fails the trial unless the condition holds: `ensure!(guard.is_held(), "the guard was lost after {elapsed:?}")`.
///
/// The message says what the driver did. Without a message, the failure shows the condition.
#[macro_export]
macro_rules! ensure {
    ($condition:expr $(,)?) => {
        if !$condition {
            $crate::fail!(
                "expected: {}\nactual: the condition does not hold\nat {}:{}",
                ::core::stringify!($condition), ::core::file!(), ::core::line!()
            );
        }
    };
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            $crate::fail!(
                "expected: {}\nactual: {}\nat {}:{}",
                ::core::stringify!($condition), ::std::format!($($message)+), ::core::file!(), ::core::line!()
            );
        }
    };
}

/// Fails the trial unless both sides are equal: the actual value first, then the expected one.
#[macro_export]
macro_rules! ensure_eq {
    ($actual:expr, $expected:expr $(,)?) => {
        $crate::ensure_eq!($actual, $expected, "the values differ")
    };
    ($actual:expr, $expected:expr, $($message:tt)+) => {
        match (&$actual, &$expected) {
            (actual, expected) => if !(*actual == *expected) {
                $crate::fail!(
                    "expected: {} is {expected:?}\nactual: {actual:?} ({})\nat {}:{}",
                    ::core::stringify!($actual), ::std::format!($($message)+), ::core::file!(), ::core::line!()
                );
            }
        }
    };
}

/// Fails the trial if both sides are equal.
#[macro_export]
macro_rules! ensure_ne {
    ($actual:expr, $other:expr $(,)?) => {
        $crate::ensure_ne!($actual, $other, "the values are equal")
    };
    ($actual:expr, $other:expr, $($message:tt)+) => {
        match (&$actual, &$other) {
            (actual, other) => if *actual == *other {
                $crate::fail!(
                    "expected: {} differs from {other:?}\nactual: {}\nat {}:{}",
                    ::core::stringify!($actual), ::std::format!($($message)+), ::core::file!(), ::core::line!()
                );
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(value: u32) -> Result<(), Failure> {
        crate::ensure!(value > 0, "the value is {value}");
        crate::ensure_eq!(value, 1);
        Ok(())
    }

    #[test]
    fn macros_show_expected_and_actual_and_the_line() {
        assert!(checked(1).is_ok());
        assert!(checked(0).unwrap_err().to_string().starts_with("expected: value > 0\nactual: the value is 0\nat "));
        assert!(
            checked(2).unwrap_err().to_string().starts_with("expected: value is 1\nactual: 2 (the values differ)\nat ")
        );
    }

    #[test]
    fn an_error_is_shown_with_each_cause_once() {
        let inner = std::io::Error::other("refused");
        let error = tooz_core::Error::new(tooz_core::ErrorKind::Unavailable, "no server").with_source(inner);
        assert_eq!(Failure::from(error).to_string(), "no server: refused");
    }
}
