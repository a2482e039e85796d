//! What the boot test prints: one line per case, then the counts.

use std::io::Write as _;
use std::time::Duration;

/// How a case came out. None is skipped: what a case needs is installed, or the whole run ends with what is missing.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    /// As it must.
    Passed(String),
    /// Not as it must; with what was seen.
    Failed(String),
}

/// The cases so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    passed: usize,
    failed: usize,
}

impl Report {
    /// A heading.
    pub(crate) fn heading(&self, text: &str) {
        say(&format!("\n== {text}"));
    }

    /// A line of data that belongs to the case before.
    pub(crate) fn detail(&self, text: &str) {
        say(&format!("        {text}"));
    }

    /// One case.
    pub(crate) fn case(&mut self, name: &str, took: Duration, verdict: &Verdict) {
        let (word, seen) = match verdict {
            Verdict::Passed(seen) => ("PASS", seen),
            Verdict::Failed(seen) => ("FAIL", seen),
        };
        match verdict {
            Verdict::Passed(_) => self.passed += 1,
            Verdict::Failed(_) => self.failed += 1,
        }
        say(&format!("{word} {name:<58} {:>6.1} s  {seen}", took.as_secs_f64()));
    }

    /// The closing line; whether nothing failed and something passed.
    pub(crate) fn close(&self) -> bool {
        say(&format!("\n{} passed, {} failed", self.passed, self.failed));
        self.failed == 0 && self.passed > 0
    }
}

fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
