//! The lines that the probe writes and counts.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

/// What one place answered.
pub(crate) struct Report {
    place: &'static str,
    pass: u32,
    fail: u32,
    na: u32,
}

impl Report {
    pub(crate) fn new(place: &'static str) -> Self {
        Self { place, pass: 0, fail: 0, na: 0 }
    }

    pub(crate) fn check(&mut self, item: &str, holds: bool, seen: impl Display) {
        let word = if holds {
            self.pass += 1;
            "PASS"
        } else {
            self.fail += 1;
            "FAIL"
        };
        say(&format!("PROBE {}/{item} {word} {seen}", self.place));
    }

    /// What cannot be tried here, and who tries it instead.
    pub(crate) fn not_here(&mut self, item: &str, reason: &str) {
        self.na += 1;
        say(&format!("PROBE {}/{item} NA {reason}", self.place));
    }

    /// Nothing may be in `faults`.
    pub(crate) fn none(&mut self, item: &str, faults: &[String], otherwise: impl Display) {
        if faults.is_empty() {
            self.check(item, true, otherwise);
        } else {
            self.check(item, false, faults.join("; "));
        }
    }

    pub(crate) fn finish(self) -> ExitCode {
        let Self { place, pass, fail, na } = self;
        say(&format!("PROBE-SUMMARY pass={pass} fail={fail} na={na} place={place}"));
        if fail == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// One line, in one write: several writers share the console.
pub(crate) fn say(line: &str) {
    let _ = std::io::stdout().write_all(format!("{line}\n").as_bytes());
}
