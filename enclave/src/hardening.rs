//! What the process takes from itself before it reads anything: a core dump, a debugger, and panic messages.
//!
//! Decides: that memory with keys and prompts leaves this process by no route the kernel offers. The image's init says the
//! same from outside; saying it here as well costs nothing and holds wherever the program runs.

use std::panic::PanicHookInfo;

use anyhow::Context;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// No core dumps, no debugger of the same user, no panic payload in the log.
///
/// # Errors
/// When the kernel refuses; the process must not go on.
pub fn harden() -> anyhow::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("refuse to be dumped or traced")?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).context("refuse core dumps")?;
    // Every client is a file; how many clients there may be follows from this (`listener.rs`).
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }).context("take all files there may be")?;
    std::panic::set_hook(Box::new(say_where));
    Ok(())
}

#[allow(clippy::print_stderr, reason = "the logger may be what panicked")]
fn say_where(info: &PanicHookInfo<'_>) {
    eprintln!("{}", panic_line(info));
}

/// Where it happened. The payload may be made from a request (a slice of a string, a parsed value), so it is not said.
fn panic_line(info: &PanicHookInfo<'_>) -> String {
    match info.location() {
        Some(at) => format!("cloister-guardian: panic at {}:{}", at.file(), at.line()),
        None => "cloister-guardian: panic".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::Mutex;

    use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};

    use super::{harden, panic_line};

    static SAID: Mutex<String> = Mutex::new(String::new());

    #[test]
    fn nothing_can_be_dumped_and_a_panic_says_only_where() {
        harden().unwrap();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        let core = getrlimit(Resource::Core);
        assert_eq!((core.current, core.maximum), (Some(0), Some(0)));
        std::panic::set_hook(Box::new(|info| *SAID.lock().unwrap() = panic_line(info)));
        let prompt = String::from("the user's words");
        assert!(std::panic::catch_unwind(|| panic!("{prompt}")).is_err());
        let _ = std::panic::take_hook();
        let said = SAID.lock().unwrap().clone();
        assert!(said.contains("hardening.rs:") && !said.contains("words"), "{said}");
    }
}
