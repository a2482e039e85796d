//! System calls that must be refused, with arguments that do no harm if they are not.

#![allow(unsafe_code, reason = "raw system calls with constant numbers as arguments; see errno()")]

use std::os::raw::c_long;

use crate::report::Report;

/// A call and its arguments.
pub(crate) struct Call {
    name: &'static str,
    number: c_long,
    arguments: [c_long; 3],
}

/// Null and small numbers only: most fail by themselves, with another error than the one expected of a refusal.
const fn call(name: &'static str, number: c_long, arguments: [c_long; 3]) -> Call {
    Call { name, number, arguments }
}

/// What the kernel is built without.
pub(crate) const NOT_BUILT: [Call; 11] = [
    call("init_module", libc::SYS_init_module, [0, 0, 0]),
    call("finit_module", libc::SYS_finit_module, [-1, 0, 0]),
    call("delete_module", libc::SYS_delete_module, [0, 0, 0]),
    call("kexec_load", libc::SYS_kexec_load, [0, 0, 0]),
    call("kexec_file_load", libc::SYS_kexec_file_load, [-1, -1, 0]),
    call("iopl", libc::SYS_iopl, [3, 0, 0]),
    call("ioperm", libc::SYS_ioperm, [0x70, 1, 1]),
    call("modify_ldt", libc::SYS_modify_ldt, [0, 0, 0]),
    call("swapon", libc::SYS_swapon, [0, 0, 0]),
    call("bpf", libc::SYS_bpf, [0, 0, 0]),
    call("userfaultfd", libc::SYS_userfaultfd, [0, 0, 0]),
];

/// What a sandbox refuses.
pub(crate) const REFUSED: [Call; 40] = [
    call("bpf", libc::SYS_bpf, [0, 0, 0]),
    call("add_key", libc::SYS_add_key, [0, 0, 0]),
    call("request_key", libc::SYS_request_key, [0, 0, 0]),
    call("keyctl", libc::SYS_keyctl, [0, 0, 0]),
    call("io_uring_setup", libc::SYS_io_uring_setup, [1, 0, 0]),
    call("io_uring_enter", libc::SYS_io_uring_enter, [-1, 0, 0]),
    call("userfaultfd", libc::SYS_userfaultfd, [0, 0, 0]),
    call("perf_event_open", libc::SYS_perf_event_open, [0, 0, -1]),
    call("ptrace-traceme", libc::SYS_ptrace, [0, 0, 0]),
    call("ptrace-seize", libc::SYS_ptrace, [0x4206, 1, 0]),
    call("process_vm_readv", libc::SYS_process_vm_readv, [1, 0, 0]),
    call("process_vm_writev", libc::SYS_process_vm_writev, [1, 0, 0]),
    call("pidfd_getfd", libc::SYS_pidfd_getfd, [-1, 0, 0]),
    call("kcmp", libc::SYS_kcmp, [1, 1, 0]),
    call("mount", libc::SYS_mount, [0, 0, 0]),
    call("umount2", libc::SYS_umount2, [0, 0, 0]),
    call("pivot_root", libc::SYS_pivot_root, [0, 0, 0]),
    call("chroot", libc::SYS_chroot, [0, 0, 0]),
    call("fsopen", libc::SYS_fsopen, [0, 0, 0]),
    call("fsmount", libc::SYS_fsmount, [-1, 0, 0]),
    call("move_mount", libc::SYS_move_mount, [-1, 0, -1]),
    call("open_tree", libc::SYS_open_tree, [-1, 0, 0]),
    call("mount_setattr", libc::SYS_mount_setattr, [-1, 0, 0]),
    call("unshare-user", libc::SYS_unshare, [0x1000_0000, 0, 0]),
    call("unshare-nothing", libc::SYS_unshare, [0, 0, 0]),
    call("setns", libc::SYS_setns, [-1, 0, 0]),
    call("clone-user", libc::SYS_clone, [0x1000_0000, 0, 0]),
    call("clone-net", libc::SYS_clone, [0x4000_0000, 0, 0]),
    call("kexec_load", libc::SYS_kexec_load, [0, 0, 0]),
    call("init_module", libc::SYS_init_module, [0, 0, 0]),
    call("reboot", libc::SYS_reboot, [0, 0, 0]),
    call("swapon", libc::SYS_swapon, [0, 0, 0]),
    call("syslog", libc::SYS_syslog, [10, 0, 0]),
    call("settimeofday", libc::SYS_settimeofday, [0, 0, 0]),
    call("open_by_handle_at", libc::SYS_open_by_handle_at, [-1, 0, 0]),
    call("iopl", libc::SYS_iopl, [3, 0, 0]),
    call("personality", libc::SYS_personality, [0xffff_ffff, 0, 0]),
    call("memfd_create", libc::SYS_memfd_create, [0, 0, 0]),
    call("memfd_create-exec", libc::SYS_memfd_create, [0, 0x10, 0]),
    call("socketpair-inet", libc::SYS_socketpair, [2, 1, 0]),
];

/// What does not exist in a sandbox, so that programs go on without it.
pub(crate) const ABSENT: [Call; 2] =
    [call("clone3", libc::SYS_clone3, [0, 0, 0]), call("x32-getpid", 0x4000_0000 | libc::SYS_getpid, [0, 0, 0])];

/// Sockets that no sandbox has.
pub(crate) const SOCKETS: [Call; 6] = [
    call("socket-udp", libc::SYS_socket, [2, 2, 0]),
    call("socket-raw", libc::SYS_socket, [2, 3, 1]),
    call("socket-mptcp", libc::SYS_socket, [2, 1, 262]),
    call("socket-inet6", libc::SYS_socket, [10, 1, 0]),
    call("socket-netlink", libc::SYS_socket, [16, 3, 0]),
    call("socket-packet", libc::SYS_socket, [17, 3, 0]),
];

/// Sockets that the guardian has and the engine has not.
pub(crate) const NETWORK_SOCKETS: [Call; 2] =
    [call("socket-tcp", libc::SYS_socket, [2, 1, 0]), call("socket-vsock", libc::SYS_socket, [40, 1, 0])];

/// Every call must be answered with one of `expected`.
pub(crate) fn refused(report: &mut Report, line: &str, calls: &[Call], expected: &[i32]) {
    for call in calls {
        let errno = errno(call);
        report.check(&format!("{line}-{}", call.name), expected.contains(&errno), named(errno));
    }
}

fn errno(call: &Call) -> i32 {
    // SAFETY: the tables above hold null, descriptors and flags; nothing through which a call could write here. Forking by
    // `clone` with new namespaces would duplicate the probe, and is seen in its doubled output.
    unsafe { measured_init::sys::errno_of(call.number, call.arguments) }
}

/// An error number, in words.
pub(crate) fn named(errno: i32) -> String {
    if errno == 0 { "succeeded".into() } else { std::io::Error::from_raw_os_error(errno).to_string() }
}
