//! Schedules that failed once, made short, and what was wrong. They always run.

use super::op::{Op, Setup};

/// What was wrong, the world, the steps.
pub(crate) const REGRESSIONS: &[(&str, Setup, &[Op])] = &[];
