//! Why a trial failed, or why it cannot be run here.

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

/// Fails the trial unless the condition holds: `ensure!(guard.is_held(), "lost after {elapsed:?}")`.
#[macro_export]
macro_rules! ensure {
    ($condition:expr $(,)?) => {
        if !$condition {
            $crate::fail!("{} is false, at {}:{}", ::core::stringify!($condition), ::core::file!(), ::core::line!());
        }
    };
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            $crate::fail!("{}, at {}:{}", ::std::format!($($message)+), ::core::file!(), ::core::line!());
        }
    };
}

/// Fails the trial unless both sides are equal.
#[macro_export]
macro_rules! ensure_eq {
    ($left:expr, $right:expr $(,)?) => {
        $crate::ensure_eq!($left, $right, "{} is not {}", ::core::stringify!($left), ::core::stringify!($right))
    };
    ($left:expr, $right:expr, $($message:tt)+) => {
        match (&$left, &$right) {
            (left, right) => {
                $crate::ensure!(left == right, "{}: {left:?} against {right:?}", ::std::format!($($message)+));
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(value: u32) -> Result<(), Failure> {
        crate::ensure!(value > 0, "zero of {value}");
        crate::ensure_eq!(value, 1);
        Ok(())
    }

    #[test]
    fn macros_say_what_and_where() {
        assert!(checked(1).is_ok());
        assert!(checked(0).unwrap_err().to_string().starts_with("zero of 0, at "));
        assert!(checked(2).unwrap_err().to_string().contains("value is not 1: 2 against 1"));
    }

    #[test]
    fn an_error_is_told_with_its_causes_once() {
        let inner = std::io::Error::other("refused");
        let error = tooz_core::Error::new(tooz_core::ErrorKind::Unavailable, "no server").with_source(inner);
        assert_eq!(Failure::from(error).to_string(), "no server: refused");
    }
}
