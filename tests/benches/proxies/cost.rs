//! What processes cost, as the kernel counts it: processor time and memory of a process with its children.

use std::time::Duration;

/// Ticks of the kernel's accounting in a second, on every Linux that runs on x86.
const TICKS: u64 = 100;

/// A process and its direct children.
fn family(pid: u32) -> Vec<u32> {
    let children = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let child: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        (stat(child)?.first()?.parse::<u32>().ok()? == pid).then_some(child)
    });
    [pid].into_iter().chain(children).collect()
}

/// Fields of `/proc/PID/stat` from the parent's id on (proc(5)).
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before may hold anything but ends at the last parenthesis; the state comes first after it.
    Some(text.rsplit_once(") ")?.1.split_whitespace().skip(1).map(str::to_owned).collect())
}

/// User and system time so far.
pub(crate) fn processor_time(pid: u32) -> Duration {
    let field = |fields: &[String], at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    let ticks: u64 = family(pid).into_iter().filter_map(stat).map(|stat| field(&stat, 10) + field(&stat, 11)).sum();
    Duration::from_millis(ticks * 1000 / TICKS)
}

/// Memory in bytes, shared pages by share.
pub(crate) fn memory(pid: u32) -> u64 {
    let kilobytes = family(pid).into_iter().map(|pid| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or("0");
        line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or(0)
    });
    kilobytes.sum::<u64>() * 1024
}
