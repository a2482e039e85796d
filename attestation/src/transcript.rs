//! The transcript of an appraisal: one line per check, PASS, FAIL or SKIP.
//!
//! Decides: nothing. It records what was decided, in the order it was decided, so that a person or a script can
//! see why. A SKIP is never a pass: it names an item the policy leaves unchecked.

use std::fmt;

use serde::Serialize;

/// The result of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Outcome {
    /// The check was made and held.
    Pass,
    /// The check was made and did not hold.
    Fail,
    /// The check was not made; the detail says why.
    Skip,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Skip => "SKIP",
        })
    }
}

/// One line of a transcript.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Stable name of the check.
    pub id: &'static str,
    /// Its result.
    pub outcome: Outcome,
    /// What was found, and what was expected where that differs.
    pub detail: String,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<4} {:<34} {}", self.outcome, self.id, self.detail)
    }
}

/// Every check made, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Transcript {
    /// The lines.
    pub checks: Vec<Check>,
}

impl Transcript {
    /// An empty transcript.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Record a check that held.
    pub fn pass(&mut self, id: &'static str, detail: impl Into<String>) {
        self.record(id, Outcome::Pass, detail.into());
    }

    /// Record a check that did not hold.
    pub fn fail(&mut self, id: &'static str, detail: impl Into<String>) {
        self.record(id, Outcome::Fail, detail.into());
    }

    /// Record a check that was not made.
    pub fn skip(&mut self, id: &'static str, reason: impl Into<String>) {
        self.record(id, Outcome::Skip, reason.into());
    }

    /// Turn the PASS lines under `id` into SKIP: what was compared was no expectation.
    pub(crate) fn waive(&mut self, id: &'static str, reason: &str) {
        for check in self.checks.iter_mut().filter(|check| check.id == id && check.outcome == Outcome::Pass) {
            check.outcome = Outcome::Skip;
            reason.clone_into(&mut check.detail);
        }
    }

    /// Record `result` under `id`: its error becomes the FAIL line, its success the PASS line `found` describes.
    pub(crate) fn check<T, E: fmt::Display>(
        &mut self,
        id: &'static str,
        result: Result<T, E>,
        found: impl FnOnce(&T) -> String,
    ) -> Result<T, E> {
        match &result {
            Ok(value) => self.pass(id, found(value)),
            Err(error) => self.fail(id, error.to_string()),
        }
        result
    }

    fn record(&mut self, id: &'static str, outcome: Outcome, detail: String) {
        self.checks.push(Check { id, outcome, detail });
    }
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            writeln!(f, "{check}")?;
        }
        Ok(())
    }
}
