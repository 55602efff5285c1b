//! What is to be said of a history: nothing, or what it broke, shown as shortly as possible.

use std::collections::BTreeMap;
use std::fmt;

use super::checks::{Rule, Violation, check, second_opinion};
use super::event::History;
use super::fault::FaultKind;
use super::plan::Plan;
use super::shrink::shrink;

/// The longest history that is printed, in events.
const PRINTED: usize = 60;

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What was carried out.
    pub plan: Plan,
    /// How many operations there were.
    pub operations: usize,
    /// How many faults of each kind.
    pub faults: BTreeMap<FaultKind, usize>,
    /// What is wrong.
    pub violations: Vec<Violation>,
    /// The first violation, shown.
    pub shown: Option<History>,
}

/// Checks the history that `plan` led to.
pub fn judge(plan: &Plan, history: &History) -> Verdict {
    let mut violations = check(history);
    violations.extend(second_opinion(history));
    let shown = violations.first().map(|violation| shrink(history, violation));
    Verdict { plan: plan.clone(), operations: history.operations(), faults: history.faults(), violations, shown }
}

impl Verdict {
    /// Whether this rule was broken.
    pub fn breaks(&self, rule: Rule) -> bool {
        self.violations.iter().any(|violation| violation.rule == rule)
    }

    /// As an outcome: the text says everything that is known.
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
        writeln!(f, "The shortest history that shows the first:")?;
        let last = History { events: shown.events[more..].to_vec(), timing: shown.timing };
        if more > 0 {
            writeln!(f, "  ({more} earlier events are left out)")?;
        }
        write!(f, "{last}")
    }
}
