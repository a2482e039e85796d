//! Logging. Events are written with fixed text and log-safe values only: never a prompt, an answer, a key, a credit or
//! a client address. The level is fixed at INFO so that no environment variable of the host can turn on more.

use tracing_subscriber::fmt;

/// Installs the JSON logger on stderr.
pub fn init() {
    let subscriber = fmt().json().with_max_level(tracing::Level::INFO).with_writer(std::io::stderr).finish();
    // A second call finds a logger installed already, which is what was wanted.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Reports why the process ends, with its causes, one line each.
#[allow(clippy::print_stderr, reason = "the last words of a process whose logger may not exist yet")]
pub fn fatal(error: &anyhow::Error) {
    eprintln!("cloister-guardian: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
}
