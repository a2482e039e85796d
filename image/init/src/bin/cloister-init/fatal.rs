//! The one way to fail: a code, a clause, and the machine goes off.

use std::fmt::Display;
use std::fs::File;
use std::io::Write;
use std::time::Duration;

use measured_init::config::Mode;
use rustix::system::{RebootCommand, reboot};

/// Why the machine is going off.
#[derive(Debug)]
pub(crate) struct Fatal {
    pub(crate) code: &'static str,
    pub(crate) text: String,
}

/// Gives a failed step its code.
pub(crate) trait OrFatal<T> {
    fn fatal(self, code: &'static str, what: impl Display) -> Result<T, Fatal>;
}

impl<T, E: Display> OrFatal<T> for Result<T, E> {
    fn fatal(self, code: &'static str, what: impl Display) -> Result<T, Fatal> {
        self.map_err(|error| Fatal { code, text: format!("{what}: {error}") })
    }
}

/// The console, which production does not have.
pub(crate) struct Console(Option<File>);

impl Console {
    /// Nothing is shown, as long as the mode is not known.
    pub(crate) fn silent() -> Self {
        Self(None)
    }

    pub(crate) fn open(mode: Mode) -> Self {
        match mode {
            Mode::Production => Self(None),
            // A console that does not open is no reason to stop: it is a convenience.
            Mode::Debug | Mode::Test => Self(File::options().write(true).open("/dev/console").ok()),
        }
    }

    /// The same console for another thread.
    pub(crate) fn again(&self) -> Self {
        Self(self.0.as_ref().and_then(|file| file.try_clone().ok()))
    }

    pub(crate) fn say(&self, line: &str) {
        if let Some(file) = &self.0 {
            let _ = (&*file).write_all(format!("{line}\n").as_bytes());
        }
    }

    /// For the output of a program that is started.
    pub(crate) fn stdio(&self) -> std::process::Stdio {
        match self.0.as_ref().and_then(|file| file.try_clone().ok()) {
            Some(file) => file.into(),
            None => std::process::Stdio::null(),
        }
    }
}

/// Says why, where anything may be said, and powers off.
pub(crate) fn power_off(fatal: &Fatal, console: &Console) -> ! {
    console.say(&format!("cloister-init: FATAL {}: {}", fatal.code, fatal.text));
    if console.0.is_some() {
        // The last line leaves the serial port slower than the power goes off.
        std::thread::sleep(Duration::from_millis(200));
    }
    let _ = reboot(RebootCommand::PowerOff);
    // Only a kernel without a way to power off comes here. The end of PID 1 is a panic, and `panic=-1` a reset.
    std::process::exit(1)
}

/// What a sandbox that fails before its program runs says; its standard error is null in production.
pub(crate) fn complain(fatal: &Fatal) {
    let _ = writeln!(std::io::stderr(), "cloister-init: FATAL {}: {}", fatal.code, fatal.text);
}
