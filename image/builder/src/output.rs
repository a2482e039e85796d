//! Results go to standard output, talk to standard error.

use std::io::Write as _;

/// A line of the result.
///
/// # Errors
/// When nobody reads it any more.
pub fn line(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{text}")
}

/// A line of talk. When nobody reads it, nothing is lost.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
