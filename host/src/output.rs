//! stdout is data, stderr is talk.

use std::io::Write;

/// One line of data.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.write_all(b"\n")?;
    Ok(stdout.flush()?)
}

/// One line of talk.
pub(crate) fn note(text: &str) {
    // A closed stderr must not stop a server.
    let _ = writeln!(std::io::stderr(), "cloister-host: {text}");
}

/// Why the command failed, with its causes.
pub(crate) fn failure(error: &anyhow::Error) {
    note(&error.to_string());
    for cause in error.chain().skip(1) {
        note(&format!("  because: {cause}"));
    }
}
