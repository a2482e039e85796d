//! `cloister-init`: PID 1 of the measured image, and the entrance to its sandboxes.
//!
//! The kernel starts it as `/init`. It starts itself, from the root volume, as `cloister-init sandbox <role>` to put guardian,
//! engine or probe in their places; the roles are in `sandbox.rs`. The crate's documentation has the order of things.

mod boot;
mod fatal;
mod mounts;
mod report_entry;
mod sandbox;
mod services;
mod sysfs;

use std::process::ExitCode;

use fatal::Fatal;
use sandbox::Role;

fn main() -> ExitCode {
    let mut words = std::env::args();
    // Decided by the name, not by words that a command line can add: the kernel calls the ramdisk's program `/init`.
    if words.next().as_deref() == Some("/init") {
        boot::run();
    }
    let failure =
        match (words.next().as_deref(), words.next().as_deref().and_then(Role::named), words.next().as_deref()) {
            (Some("sandbox"), Some(role), None) => sandbox::enter(role),
            (Some("sandbox"), Some(role), Some("inner")) => sandbox::enter_inner(role),
            _ => Err(Fatal { code: "usage", text: "cloister-init sandbox <role>".into() }),
        };
    match failure {
        Ok(code) => code,
        Err(fatal) => {
            fatal::complain(&fatal);
            ExitCode::FAILURE
        }
    }
}
