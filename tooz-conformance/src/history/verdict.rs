//! The result of a run: its counts, and the violations with a short history that shows the first.

use std::collections::BTreeMap;
use std::fmt;

use super::checks::{Rule, Violation, check, check_linearizability};
use super::event::History;
use super::fault::FaultKind;
use super::plan::Plan;
use super::shrink::shrink;

/// The greatest number of events that are printed.
const PRINTED: usize = 60;

/// The result of a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Verdict {
    /// The plan that was carried out.
    pub plan: Plan,
    /// The number of operations.
    pub operations: usize,
    /// The number of faults of each kind.
    pub faults: BTreeMap<FaultKind, usize>,
    /// The rules that were broken.
    pub violations: Vec<Violation>,
    /// A short history that shows the first violation.
    pub shown: Option<History>,
}

/// Checks the history of `plan`.
pub fn judge(plan: &Plan, history: &History) -> Verdict {
    let mut violations = check(history);
    violations.extend(check_linearizability(history));
    let shown = violations.first().map(|violation| shrink(history, violation));
    Verdict { plan: plan.clone(), operations: history.operations(), faults: history.faults(), violations, shown }
}

impl Verdict {
    /// Whether this rule was broken.
    pub fn breaks(&self, rule: Rule) -> bool {
        self.violations.iter().any(|violation| violation.rule == rule)
    }

    /// The verdict, or a text that describes the violations.
    ///
    /// # Errors
    /// A rule was broken.
    pub fn into_result(self) -> Result<Self, String> {
        if self.violations.is_empty() { Ok(self) } else { Err(self.to_string()) }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seed, workload) = (self.plan.seed, self.plan.workload.as_str());
        write!(f, "seed {seed}, workload {workload}: {} operations, ", self.operations)?;
        write!(f, "{} faults, ", self.faults.values().sum::<usize>())?;
        let Some(shown) = &self.shown else { return write!(f, "no violation") };
        writeln!(f, "{} violations", self.violations.len())?;
        for violation in self.violations.iter().take(5) {
            writeln!(f, "  {violation}")?;
        }
        let more = shown.events.len().saturating_sub(PRINTED);
        writeln!(f, "A short history that shows the first violation:")?;
        let last = History { events: shown.events[more..].to_vec(), timing: shown.timing };
        if more > 0 {
            writeln!(f, "  ({more} earlier events are left out)")?;
        }
        write!(f, "{last}")
    }
}
