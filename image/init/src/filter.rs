//! The system calls that guardian and engine are refused, as seccomp programs.
//!
//! A deny list, because the engine is somebody else's large program: what would reach the kernel's rarely used parts, other
//! processes, other namespaces, or a network the sandbox does not have. `clone3`, whose flags lie in memory that a filter cannot
//! read, does not exist here; the C library then uses `clone`.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, sock_filter,
};

/// Whose filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confined {
    /// Sockets: Unix, IPv4 TCP, vsock streams.
    Guardian,
    /// Sockets: Unix.
    Engine,
}

/// Refused altogether with EPERM.
const DENIED: [i64; 63] = [
    // Code in the kernel, and the kernel's own stores.
    libc::SYS_bpf,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_userfaultfd,
    libc::SYS_perf_event_open,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    // Mounts, roots and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    // The machine.
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_vhangup,
    libc::SYS_modify_ldt,
    libc::SYS_personality,
    // Left over from other times.
    libc::SYS_uselib,
    libc::SYS__sysctl,
    libc::SYS_ustat,
    libc::SYS_sysfs,
    libc::SYS_nfsservctl,
    libc::SYS_lookup_dcookie,
];

/// `clone` may make threads and processes, not namespaces.
const NAMESPACE_FLAGS: [libc::c_int; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// Bits of the second argument of `socket` that are the type, the others being flags; and the type allowed for IPv4 and vsock.
const SOCKET_TYPE_BITS: [u64; 3] = [0b0010, 0b0100, 0b1000];

/// The programs, in the order in which they must be loaded.
pub fn programs(confined: Confined) -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
    let missing = rules(&[libc::SYS_clone3]);
    let denied = denied_rules(confined)?;
    Ok(vec![no_x32(), compile(missing, libc::ENOSYS)?, compile(denied, libc::EPERM)?])
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn rules(calls: &[i64]) -> Rules {
    calls.iter().map(|call| (*call, Vec::new())).collect()
}

fn compile(rules: Rules, errno: libc::c_int) -> Result<BpfProgram, seccompiler::BackendError> {
    let action = SeccompAction::Errno(errno.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, action, TargetArch::x86_64)?.try_into()
}

/// Calls of the x32 ABI have the architecture of ours and other numbers: no list would hold for them.
fn no_x32() -> BpfProgram {
    const X32_BIT: u32 = 0x4000_0000;
    const ERRNO_ENOSYS: u32 = 0x0005_0000 | libc::ENOSYS.unsigned_abs();
    const ALLOW: u32 = 0x7fff_0000;
    // BPF_LD|BPF_W|BPF_ABS of the number; BPF_JMP|BPF_JGE|BPF_K; BPF_RET|BPF_K twice.
    vec![
        sock_filter { code: 0x20, jt: 0, jf: 0, k: 0 },
        sock_filter { code: 0x35, jt: 0, jf: 1, k: X32_BIT },
        sock_filter { code: 0x06, jt: 0, jf: 0, k: ERRNO_ENOSYS },
        sock_filter { code: 0x06, jt: 0, jf: 0, k: ALLOW },
    ]
}

fn denied_rules(confined: Confined) -> Result<Rules, seccompiler::BackendError> {
    let mut denied = rules(&DENIED);
    let flags = NAMESPACE_FLAGS.iter().map(|flag| {
        let flag = u64::from(flag.unsigned_abs());
        SeccompRule::new(vec![condition(0, SeccompCmpOp::MaskedEq(flag), flag)?])
    });
    denied.insert(libc::SYS_clone, flags.collect::<Result<_, _>>()?);
    // A program written into memory of its own would be on no volume and under no `noexec`.
    denied.insert(
        libc::SYS_memfd_create,
        vec![SeccompRule::new(vec![condition(1, SeccompCmpOp::MaskedEq(u64::from(libc::MFD_NOEXEC_SEAL)), 0)?])?],
    );
    // Unix sockets come in pairs; no other family does.
    denied.insert(libc::SYS_socketpair, vec![unless(0, &[libc::AF_UNIX])?]);
    let sockets = match confined {
        Confined::Engine => vec![unless(0, &[libc::AF_UNIX])?],
        Confined::Guardian => guardian_sockets()?,
    };
    denied.insert(libc::SYS_socket, sockets);
    Ok(denied)
}

/// Unix; IPv4 and vsock as streams, IPv4 as TCP. MPTCP and its like are streams that Landlock does not look at.
fn guardian_sockets() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let mut denied = vec![unless(0, &[libc::AF_UNIX, libc::AF_INET, libc::AF_VSOCK])?];
    for family in [libc::AF_INET, libc::AF_VSOCK] {
        for bit in SOCKET_TYPE_BITS {
            denied.push(SeccompRule::new(vec![
                condition(0, SeccompCmpOp::Eq, u64::from(family.unsigned_abs()))?,
                condition(1, SeccompCmpOp::MaskedEq(bit), bit)?,
            ])?);
        }
    }
    denied.push(SeccompRule::new(vec![
        condition(0, SeccompCmpOp::Eq, u64::from(libc::AF_INET.unsigned_abs()))?,
        condition(2, SeccompCmpOp::Ne, 0)?,
        condition(2, SeccompCmpOp::Ne, u64::from(libc::IPPROTO_TCP.unsigned_abs()))?,
    ])?);
    Ok(denied)
}

/// Matches when the argument is none of `values`.
fn unless(argument: u8, values: &[libc::c_int]) -> Result<SeccompRule, seccompiler::BackendError> {
    let conditions = values.iter().map(|value| condition(argument, SeccompCmpOp::Ne, u64::from(value.unsigned_abs())));
    SeccompRule::new(conditions.collect::<Result<_, _>>()?)
}

/// The kernel reads these arguments as `int`: the upper half is not compared.
fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}

#[cfg(test)]
#[allow(unsafe_code, clippy::as_conversions, reason = "raw system calls, which are to be refused")]
mod tests {
    use super::*;
    use std::os::raw::c_long;

    /// Loads the programs into a thread of its own and says what `socket` and others answer there.
    fn errnos(confined: Confined, calls: &[(c_long, [c_long; 3])]) -> Vec<i32> {
        let calls = calls.to_vec();
        std::thread::spawn(move || {
            for program in programs(confined).unwrap() {
                seccompiler::apply_filter(&program).unwrap();
            }
            let errno_of = |(call, arguments)| {
                // SAFETY: no argument is an address; where a call expects one it gets null or an unmapped small number.
                unsafe { crate::sys::errno_of(call, arguments) }
            };
            calls.into_iter().map(errno_of).collect()
        })
        .join()
        .unwrap()
    }

    const fn socket(family: libc::c_int, kind: libc::c_int, protocol: libc::c_int) -> (c_long, [c_long; 3]) {
        (libc::SYS_socket, [family as c_long, kind as c_long, protocol as c_long])
    }

    #[test]
    fn guardian_has_streams_only() {
        let allowed = [
            socket(libc::AF_UNIX, libc::SOCK_STREAM, 0),
            socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0),
            socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0),
            socket(libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_TCP),
        ];
        assert_eq!(errnos(Confined::Guardian, &allowed), [0; 4]);
        let denied = [
            socket(libc::AF_INET, libc::SOCK_DGRAM, 0),
            socket(libc::AF_INET, libc::SOCK_RAW, 1),
            socket(libc::AF_INET, libc::SOCK_STREAM, 262),
            socket(libc::AF_VSOCK, libc::SOCK_DGRAM, 0),
            socket(libc::AF_INET6, libc::SOCK_STREAM, 0),
            socket(libc::AF_NETLINK, libc::SOCK_RAW, 0),
            socket(libc::AF_PACKET, libc::SOCK_RAW, 0),
            (libc::SYS_bpf, [0; 3]),
            (libc::SYS_unshare, [0; 3]),
            (libc::SYS_memfd_create, [0; 3]),
            (libc::SYS_memfd_create, [0, libc::MFD_EXEC as c_long, 0]),
        ];
        assert_eq!(errnos(Confined::Guardian, &denied), [libc::EPERM; 11]);
        // Memory that can never be executed is only refused because it has no name here.
        let sealed = [(libc::SYS_memfd_create, [0, libc::MFD_NOEXEC_SEAL as c_long, 0])];
        assert_eq!(errnos(Confined::Guardian, &sealed), [libc::EFAULT]);
    }

    #[test]
    fn engine_has_unix_sockets_only() {
        let calls = [
            socket(libc::AF_UNIX, libc::SOCK_STREAM, 0),
            socket(libc::AF_INET, libc::SOCK_STREAM, 0),
            socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0),
            socket(libc::AF_NETLINK, libc::SOCK_RAW, 0),
            (libc::SYS_socketpair, [libc::AF_INET as c_long, libc::SOCK_STREAM as c_long, 0]),
            (libc::SYS_clone, [libc::CLONE_NEWUSER as c_long, 0, 0]),
            (libc::SYS_clone3, [0; 3]),
            (0x4000_0000 | libc::SYS_getpid, [0; 3]),
            (libc::SYS_getppid, [0; 3]),
        ];
        let eperm = libc::EPERM;
        let expected = [0, eperm, eperm, eperm, eperm, eperm, libc::ENOSYS, libc::ENOSYS, 0];
        assert_eq!(errnos(Confined::Engine, &calls), expected);
    }

    #[test]
    fn no_call_is_listed_twice() {
        assert_eq!(rules(&DENIED).len(), DENIED.len());
    }
}
