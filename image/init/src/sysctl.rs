//! Settings of the running kernel that protect it from root and the network: what `/proc/sys` must hold when services start.
//!
//! Most of what they switch off is not in our kernel at all; a file that is absent is skipped. One that exists must take the value
//! and give it back.

/// File under `/proc/sys` and its value.
pub const SETTINGS: [(&str, &str); 30] = [
    // No address, log line or counter of the kernel for anybody.
    ("kernel/kptr_restrict", "2"),
    ("kernel/dmesg_restrict", "1"),
    ("kernel/perf_event_paranoid", "3"),
    ("kernel/randomize_va_space", "2"),
    // No process looks into another, none runs code in the kernel.
    ("kernel/yama/ptrace_scope", "3"),
    ("kernel/unprivileged_bpf_disabled", "1"),
    ("kernel/io_uring_disabled", "2"),
    ("kernel/modules_disabled", "1"),
    ("kernel/kexec_load_disabled", "1"),
    ("kernel/sysrq", "0"),
    ("user/max_user_namespaces", "0"),
    ("vm/unprivileged_userfaultfd", "0"),
    ("dev/tty/ldisc_autoload", "0"),
    ("dev/tty/legacy_tiocsti", "0"),
    ("net/core/bpf_jit_harden", "2"),
    // A kernel that is broken stops at once.
    ("kernel/panic", "-1"),
    ("kernel/panic_on_oops", "1"),
    // Nothing of a process is written anywhere.
    ("fs/suid_dumpable", "0"),
    ("fs/protected_hardlinks", "1"),
    ("fs/protected_symlinks", "1"),
    ("fs/protected_fifos", "2"),
    ("fs/protected_regular", "2"),
    // The guest is an end point. Fast open must be off: its first packet goes past Landlock's check of connect().
    ("net/ipv4/ip_forward", "0"),
    ("net/ipv4/icmp_echo_ignore_all", "1"),
    ("net/ipv4/icmp_echo_ignore_broadcasts", "1"),
    ("net/ipv4/tcp_syncookies", "1"),
    ("net/ipv4/tcp_timestamps", "0"),
    ("net/ipv4/tcp_fastopen", "0"),
    ("net/ipv4/tcp_rfc1337", "1"),
    ("net/ipv6/conf/all/disable_ipv6", "1"),
];

/// File under each directory of `/proc/sys/net/ipv4/conf`, and its value.
pub const INTERFACE_SETTINGS: [(&str, &str); 6] = [
    ("accept_redirects", "0"),
    ("send_redirects", "0"),
    ("accept_source_route", "0"),
    ("rp_filter", "1"),
    ("arp_ignore", "1"),
    ("forwarding", "0"),
];

/// Whether `got`, as read back, is `expected`.
#[must_use]
pub fn holds(expected: &str, got: &str) -> bool {
    got.split_ascii_whitespace().eq(expected.split_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_compared_without_their_line_end() {
        assert!(holds("-1", "-1\n"));
        assert!(!holds("1", "-1\n") && !holds("1", "") && !holds("1", "1 1"));
    }

    #[test]
    fn no_setting_is_listed_twice() {
        let mut files: Vec<_> = SETTINGS.iter().map(|(file, _)| file).collect();
        files.sort_unstable();
        files.dedup();
        assert_eq!(files.len(), SETTINGS.len());
    }
}
