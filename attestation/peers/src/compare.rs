//! Two verdicts on one case, and the table of differences with their reasons.
//!
//! Decides: whether verifiers agree, and whether the table says exactly where and how they do not. A difference that is
//! not in the table is a complaint, and so is a row of the table that no longer describes a difference.

use std::collections::BTreeSet;
use std::fmt;

/// What a verifier said about one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Accepted, with what was concluded (a TCB status and advisories; empty where there is nothing but yes).
    Accepted(String),
    /// Refused, with the verifier's own word for the reason.
    Refused(String),
}

impl Verdict {
    /// Whether both mean the same: both refuse, for whatever reason, or both accept with the same conclusion.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Accepted(ours), Self::Accepted(theirs)) => ours == theirs,
            (Self::Refused(_), Self::Refused(_)) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted(conclusion) if conclusion.is_empty() => f.write_str("accepted"),
            Self::Accepted(conclusion) => write!(f, "accepted {conclusion}"),
            Self::Refused(reason) => f.write_str(reason),
        }
    }
}

/// One case with both verdicts.
#[derive(Debug, Clone)]
pub struct Compared {
    /// Name of the case.
    pub case: String,
    /// The verdict of `attestation`.
    pub ours: Verdict,
    /// The peer's verdict.
    pub theirs: Verdict,
}

/// A difference that is meant to be.
#[derive(Debug, Clone, Copy)]
pub struct Difference {
    /// Name of the case.
    pub case: &'static str,
    /// Our verdict as text: `accepted`, `accepted <conclusion>` or the code of the refusal.
    pub ours: &'static str,
    /// The peer's verdict as text; of a refusal, a part of it.
    pub theirs: &'static str,
    /// Why, in one sentence.
    pub reason: &'static str,
}

impl Difference {
    fn describes(&self, compared: &Compared) -> bool {
        let theirs = match &compared.theirs {
            accepted @ Verdict::Accepted(_) => accepted.to_string() == self.theirs,
            Verdict::Refused(reason) => !self.theirs.is_empty() && reason.contains(self.theirs),
        };
        self.ours == compared.ours.to_string() && theirs
    }
}

/// Everything wrong with `table` as the list of all differences between the verdicts of `all`.
#[must_use]
pub fn complaints(all: &[Compared], table: &[Difference]) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut seen = BTreeSet::new();
    for compared in all {
        let Compared { case, ours, theirs } = compared;
        if !seen.insert(case.as_str()) {
            complaints.push(format!("{case}: compared twice"));
        }
        let row = table.iter().find(|row| row.case == case);
        match (ours.agrees_with(theirs), row) {
            (true, Some(_)) => complaints.push(format!("{case}: listed as a difference, but both say {ours}")),
            (false, None) => complaints.push(format!("{case}: not explained: ours: {ours}; theirs: {theirs}")),
            (false, Some(row)) if !row.describes(compared) => {
                complaints.push(format!("{case}: listed otherwise: ours: {ours}; theirs: {theirs}"));
            }
            _ => {}
        }
    }
    let mut rows = BTreeSet::new();
    for row in table {
        if !seen.contains(row.case) {
            complaints.push(format!("{}: listed, but there is no such case", row.case));
        }
        if !rows.insert(row.case) {
            complaints.push(format!("{}: listed twice", row.case));
        }
        if row.reason.is_empty() {
            complaints.push(format!("{}: listed without a reason", row.case));
        }
    }
    complaints
}
