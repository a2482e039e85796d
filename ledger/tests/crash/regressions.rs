//! Faults that something was lost over once, and what was wrong. They run before all others.

use super::story::Case;

/// A fault that failed once.
pub(crate) struct Regression {
    pub(crate) what: &'static str,
    pub(crate) case: Case,
}

/// Often enough that calls sent side by side are grouped in more than one way.
pub(crate) const TIMES: usize = 8;

/// None yet. What a failing test prints is put here as it is.
pub(crate) const REGRESSIONS: &[Regression] = &[];
