//! The result of one check.

use std::fmt;

use serde::Serialize;

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// A fact that needs no action.
    Ok,
    /// Works, but something should be changed.
    Warn,
    /// Does not work.
    Fail,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        })
    }
}

/// A check with its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) verdict: Verdict,
    pub(super) subject: String,
    pub(super) result: String,
    /// What to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
}

impl Check {
    pub(super) fn ok(subject: impl Into<String>, result: impl Into<String>) -> Self {
        Self { verdict: Verdict::Ok, subject: subject.into(), result: result.into(), advice: None }
    }

    pub(super) fn warn(subject: impl Into<String>, result: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warn, advice: Some(advice.into()), ..Self::ok(subject, result) }
    }

    pub(super) fn fail(subject: impl Into<String>, error: impl fmt::Display) -> Self {
        Self { verdict: Verdict::Fail, ..Self::ok(subject, error.to_string()) }
    }
}
