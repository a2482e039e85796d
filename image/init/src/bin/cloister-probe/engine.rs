//! In the engine's place: a program that nobody here wrote, fed by strangers.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::calls::{self, NETWORK_SOCKETS};
use crate::confined;
use crate::files::{errno, mounts, names, read};
use crate::report::Report;

pub(crate) fn run(pids_max: u32) -> Report {
    let mut report = Report::new("engine");
    confined::check(&mut report, 2000, &["null", "zero", "full", "random", "urandom", "shm"]);
    calls::refused(&mut report, "07", &NETWORK_SOCKETS, &[libc::EPERM]);
    network(&mut report);
    files(&mut report);
    processes(&mut report, pids_max);
    report
}

fn network(report: &mut Report) {
    let devices = read("/proc/self/net/dev");
    let interfaces: Vec<&str> =
        devices.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim()).collect();
    report.check("07-interfaces", interfaces == ["lo"], format_args!("{interfaces:?}"));
    let routes = read("/proc/self/net/fib_trie");
    report.check("07-addresses", !routes.contains("LOCAL"), "no address, not even of the loopback");
}

fn files(report: &mut Report) {
    report.check("06-run", names("/run") == ["engine"], format_args!("{:?}", names("/run")));
    if Path::new("/model").is_dir() && mounts().iter().any(|mount| mount.at == "/model") {
        let error = errno(fs::write("/model/probe", b"x"));
        report.check("02-model-read-only", error == libc::EROFS, calls::named(error));
        let noexec = mounts().iter().any(|mount| mount.at == "/model" && mount.has("noexec"));
        report.check("02-model-noexec", noexec, "noexec");
    } else {
        report.not_here("02-model-read-only", "this image has no model volume");
    }
    let path = "/run/engine/probe.sock";
    let listener = UnixListener::bind(path);
    let data = fs::metadata(path).map(|data| (data.uid(), data.gid(), data.mode() & 0o777));
    let shared = matches!(data, Ok((2000, 1000, mode)) if mode & 0o060 == 0o060 && mode & 0o007 == 0);
    report.check("06-socket-for-guardian", listener.is_ok() && shared, format_args!("{data:?}"));
    let _ = fs::remove_file(path);
}

/// A fork bomb, of threads: they count alike. Stops at the first that is refused.
fn processes(report: &mut Report, pids_max: u32) {
    let done = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    let bound = pids_max.saturating_add(16);
    let mut refusal = None;
    for _ in 0..bound {
        let done = Arc::clone(&done);
        let wait = move || {
            while !done.load(Ordering::Relaxed) {
                std::thread::park_timeout(std::time::Duration::from_millis(50))
            }
        };
        match std::thread::Builder::new().stack_size(64 << 10).spawn(wait) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                refusal = error.raw_os_error();
                break;
            }
        }
    }
    let count = threads.len();
    done.store(true, Ordering::Relaxed);
    for thread in threads {
        let _ = thread.join();
    }
    let seen = format!("{count} threads of at most {pids_max}, then {}", calls::named(refusal.unwrap_or(0)));
    report.check("06-pids", refusal == Some(libc::EAGAIN), seen);
}
