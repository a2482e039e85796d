//! PID 1 of the measured image: what it decides, and the few system calls that need `unsafe`.
//!
//! The kernel starts `cloister-init` from the initial ramdisk, which every launch measurement covers. It trusts two things: the
//! files under `/measured` in that ramdisk, and the kernel. Command line, disks and everything else come from the host and are
//! compared with `/measured` or refused. In order (`src/bin/cloister-init/`):
//!
//! 1. read `/measured/image.json` ([`config`]), then the command line ([`cmdline`]) and the lockdown state
//! 2. tell the disks apart ([`disks`]) and put each under dm-verity ([`verity`]) with the measured parameters only
//! 3. mount the volumes read-only, change to the root volume, forget the ramdisk
//! 4. set what protects the kernel at run time ([`sysctl`])
//! 5. start engine and guardian, each in its sandbox ([`filter`] is the system calls they are refused)
//! 6. stay: reap, kill an engine that answers nothing, restart one that ended a bounded number of times ([`supervision`]), power off when
//!    the guardian ends
//!
//! Whatever does not hold ends in power-off: there is no shell, no retry with less, and in production no message. Everything in
//! the library but [`sys`] and [`supervision`] is a function of bytes, so that it is tested outside a guest, as [`supervision`] is
//! with processes; the image builder writes what is read here. `cloister-probe` is the other half: it tries from inside a running
//! test image what must be impossible there.

pub mod cmdline;
pub mod config;
pub mod disks;
pub mod filter;
pub mod supervision;
pub mod sys;
pub mod sysctl;
pub mod verity;
