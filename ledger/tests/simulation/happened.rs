//! What must have happened in an ordinary run, and how often at least: a simulation in which nothing goes wrong shows nothing.
//!
//! Each number is about a third of what was counted when it was written, so that a change of the schedules that makes them
//! tame is seen, and small changes are not.

/// What is counted, and the least count over all seeds of an ordinary run.
pub(crate) const HAPPENED: &[(&str, u64)] = &[];
