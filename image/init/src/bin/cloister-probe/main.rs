//! `cloister-probe`: tries, from inside a running test image, what must be impossible there, and says what it saw.
//!
//! One line each, `PROBE <place>/<line of the checklist>-<what> PASS|FAIL|NA <what was seen>`, and one `PROBE-SUMMARY` at the end;
//! `NA` always with its reason. The places:
//!
//! - `system`: root, in the namespaces of PID 1, before the services run
//! - `guardian <listen ports> <connect ports>`: in the guardian's place
//! - `engine <most processes>`: in the engine's
//! - `reread`: reads one block of the model volume again and again, so that a host may change it after its first read
//!
//! The lines of the checklist: 1 programs, 2 file systems, 3 kernel, 4 memory, 5 scratch, 6 sandbox, 7 egress, 8 logs, 9 disks,
//! 10 devices, 11 ACPI, 12 command line, 13 entropy and time, 14 platform policy, 15 hot plug, 16 GPU.

mod calls;
mod confined;
mod engine;
mod files;
mod guardian;
mod kernel;
mod platform;
mod report;
mod reread;
mod system;

use std::process::ExitCode;

use report::Report;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let report = match words[..] {
        ["system"] => system::run(),
        ["guardian", listen, connect] => guardian::run(&ports(listen), &ports(connect)),
        ["engine", pids_max] => engine::run(pids_max.parse().unwrap_or(0)),
        ["reread"] => return reread::run(),
        _ => {
            let mut report = Report::new("usage");
            report.check("00-arguments", false, format_args!("{words:?}"));
            report
        }
    };
    report.finish()
}

fn ports(list: &str) -> Vec<u16> {
    list.split(',').filter_map(|port| port.parse().ok()).collect()
}
