//! Where words go: stdout is data, stderr is talk.
//!
//! Decides: nothing. In JSON mode exactly one object is printed on stdout. A closed stdout is reported to the caller, not fatal: a
//! tab that is open still has to be closed when the reader has gone.

use std::io::{IsTerminal, Write};

use attestation::{Outcome, Transcript};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

/// How to talk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    colors: Colors,
}

#[derive(Debug, Clone, Copy)]
struct Colors {
    stdout: bool,
    stderr: bool,
}

impl Output {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        // https://no-color.org: any non-empty value counts.
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let colors = Colors {
            stdout: wanted && std::io::stdout().is_terminal(),
            stderr: wanted && std::io::stderr().is_terminal(),
        };
        Self { json, quiet, colors }
    }

    /// Data for stdout, as it is. Nothing in JSON mode.
    pub(crate) fn data(self, bytes: &[u8]) -> std::io::Result<()> {
        if self.json {
            return Ok(());
        }
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()
    }

    /// A line of data for stdout. Nothing in JSON mode.
    pub(crate) fn line(self, text: &str) {
        // A reader that has gone does not want the line.
        let _ = self.data(format!("{text}\n").as_bytes());
    }

    /// The one object of JSON mode.
    pub(crate) fn object(self, value: &Value) {
        if self.json {
            let mut stdout = std::io::stdout().lock();
            let _ = writeln!(stdout, "{value:#}").and_then(|()| stdout.flush());
        }
    }

    /// A line of talk. Nothing in JSON mode or when asked to be quiet.
    pub(crate) fn say(self, text: &str) {
        if !self.json && !self.quiet {
            self.talk(text);
        }
    }

    /// A line of talk that is never withheld.
    pub(crate) fn talk(self, text: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// An error and what to do next.
    pub(crate) fn error(self, message: &str, hint: Option<&str>) {
        self.talk(&format!("{} {message}", paint(self.colors.stderr, "error:", "31")));
        if let Some(hint) = hint {
            self.talk(&format!("{} {hint}", paint(self.colors.stderr, "hint:", "36")));
        }
    }

    /// The transcript as data, line by line.
    pub(crate) fn transcript(self, transcript: &Transcript) {
        for check in &transcript.checks {
            let line = check.to_string();
            let color = match check.outcome {
                Outcome::Pass => "32",
                Outcome::Fail => "31",
                Outcome::Skip => "33",
            };
            let (head, rest) = line.split_at_checked(4).unwrap_or((line.as_str(), ""));
            self.line(&format!("{}{rest}", paint(self.colors.stdout, head, color)));
        }
    }

    /// The verdict as data: a word and why.
    pub(crate) fn verdict(self, word: &str, detail: &str) {
        let color = if matches!(word, "VERIFIED" | "REFUSAL" | "ACCEPTED" | "EQUAL") { "32" } else { "31" };
        self.line(&format!("{}  {detail}", paint(self.colors.stdout, word, color)));
    }

    /// A spinner on stderr while something takes time; a plain line where nobody watches.
    pub(crate) fn spinner(self, text: &str) -> ProgressBar {
        if self.json || self.quiet || !std::io::stderr().is_terminal() {
            self.say(text);
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(text.to_owned());
        bar.enable_steady_tick(std::time::Duration::from_millis(100));
        bar
    }
}

fn paint(color: bool, word: &str, code: &str) -> String {
    if color { format!("\x1b[{code}m{word}\x1b[0m") } else { word.to_owned() }
}
