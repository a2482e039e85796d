//! What happened in a run, told when it fails.
//!
//! A [`Case`] decides everything but one thing: how calls that are sent side by side are grouped into transactions, which is up to the
//! threads of the ledger. That is noted as it comes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;

use super::support::disk::Fault;

/// One run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    /// The seed of what is done.
    pub(crate) schedule: u64,
    /// What goes wrong, and at which sync or write.
    pub(crate) fault: Fault,
    /// The seed of what survives it, and of the faults during recovery.
    pub(crate) survives: u64,
}

/// What was heard of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Heard {
    /// It was answered, and its transaction left a log of this size: calls that share one shared a transaction.
    Left(u64),
    /// It was answered; its answer has no size.
    Answered,
    /// It was recorded before it was sent again.
    Repeated,
    /// Nothing is known of it.
    Nothing,
}

/// The story of one run.
pub(crate) struct Story {
    case: Case,
    lines: Mutex<Vec<String>>,
}

impl Story {
    pub(crate) fn of(case: Case) -> Self {
        Self { case, lines: Mutex::new(Vec::new()) }
    }

    /// Calls were sent side by side, and this was heard of each.
    pub(crate) fn sent(&self, step: usize, syncs: u64, heard: &[Heard]) {
        let mut groups: BTreeMap<Heard, Vec<usize>> = BTreeMap::new();
        for (call, heard) in heard.iter().enumerate() {
            groups.entry(*heard).or_default().push(call);
        }
        let mut line = format!("step {step}, {syncs} syncs:");
        for (heard, calls) in groups {
            write!(line, " {heard:?} {calls:?}").unwrap();
        }
        self.tell(line);
    }

    pub(crate) fn tell(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }

    /// All that it takes to see a failure again.
    pub(crate) fn report(&self, why: &str) -> String {
        let Case { schedule, fault, survives } = self.case;
        let mut text = format!("{why}\nin ledger/tests/crash/regressions.rs:\n");
        writeln!(text, "    Case {{ schedule: {schedule}, fault: Fault::{fault:?}, survives: {survives} }}").unwrap();
        writeln!(text, "calls of a step were grouped like this (they may be otherwise another time):").unwrap();
        self.lines.lock().unwrap().iter().for_each(|line| writeln!(text, "    {line}").unwrap());
        text
    }
}
