//! The kernel's device for SEV-SNP as a file: `/dev/sev-guest`, with the semantics of `drivers/virt/coco/sev-guest/sev-guest.c` (Linux
//! 6.12), and with the faults of a firmware or a host.
//!
//! It stands where the kernel would: in another process than the one that asks, whose memory it reads and writes at the addresses that
//! it is handed. Reports come from the simulated platform's socket. What is copied from the kernel, because callers get it wrong: after
//! an error of the firmware or the host its key is gone for good, and every later call finds no device.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    IoctlFlags, MountOption, OpenFlags, ReplyAttr, ReplyEntry, ReplyIoctl, ReplyOpen, Request,
};

use crate::tsm_double::{about, signed};

/// `SNP_GET_REPORT`: `_IOWR('S', 0x0, 32 bytes)`.
const GET_REPORT: u32 = 0xc020_5300;
/// `struct snp_guest_request_ioctl`.
const CALL_LEN: usize = 32;
/// `struct snp_report_req`.
const REQUEST_LEN: usize = 96;
/// `struct snp_report_resp`.
const RESPONSE_LEN: usize = 4000;
/// The firmware's word for a request it does not take (SEV-SNP ABI, INVALID_PARAM of MSG_REPORT_RSP).
const INVALID_PARAMETERS: u32 = 0x16;
/// How long a silent host takes.
const SILENCE: Duration = Duration::from_secs(12);
/// Nothing is kept by the kernel above.
const NOT_CACHED: Duration = Duration::ZERO;
/// The one file.
const NAME: &str = "sev-guest";
const FILE: INodeNo = INodeNo(INodeNo::ROOT.0 + 1);

/// What goes wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeviceFault {
    /// Nothing.
    #[default]
    None,
    /// The firmware answers with this status and no report.
    Status(u32),
    /// The answer says that its report is so long.
    Length(u32),
    /// The report is over other bytes.
    OtherBytes,
    /// The firmware gives the report it gave before, whatever it is asked.
    Replay,
    /// The host was busy for a minute.
    HostBusy,
    /// The host does not answer while anybody waits.
    Silent,
    /// The firmware fails the message.
    Failed,
}

/// A mounted device. Dropping it unmounts it.
#[derive(Debug)]
pub struct SevGuestDouble {
    dir: PathBuf,
    state: Arc<Mutex<State>>,
    _session: BackgroundSession,
}

#[derive(Debug)]
struct State {
    signer: PathBuf,
    fault: DeviceFault,
    key_is_gone: bool,
    last: Option<Vec<u8>>,
    reports: u64,
}

impl SevGuestDouble {
    /// Mounts a device in the directory `dir`, whose reports are signed behind the socket `signer`.
    pub fn mount(dir: &Path, signer: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let state = State {
            signer: signer.to_path_buf(),
            fault: DeviceFault::None,
            key_is_gone: false,
            last: None,
            reports: 0,
        };
        let state = Arc::new(Mutex::new(state));
        let mut config = Config::default();
        config.mount_options =
            vec![MountOption::FSName("sev-guest-double".to_owned()), MountOption::NoDev, MountOption::NoSuid];
        // One thread may be waiting for the firmware.
        config.n_threads = Some(4);
        let device = Device { state: Arc::clone(&state), firmware: Mutex::default() };
        let session = fuser::spawn_mount(device, dir, &config)
            .with_context(|| format!("mount the double of sev-guest on {}", dir.display()))?;
        Ok(Self { dir: dir.to_path_buf(), state, _session: session })
    }

    /// Where the device is.
    #[must_use]
    pub fn device(&self) -> PathBuf {
        self.dir.join(NAME)
    }

    /// From now on this goes wrong.
    pub fn play(&self, fault: DeviceFault) {
        lock(&self.state).fault = fault;
    }

    /// The machine was started anew: the firmware has given the kernel a key again.
    pub fn restart(&self) {
        lock(&self.state).key_is_gone = false;
    }

    /// How many reports were signed.
    #[must_use]
    pub fn reports(&self) -> u64 {
        lock(&self.state).reports
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the caller finds in its structure afterwards, and what the call returns.
struct Outcome {
    exit_info: u64,
    returned: i32,
}

impl Outcome {
    const DONE: Self = Self { exit_info: 0, returned: 0 };

    fn failed(errno: Errno, exit_info: u64) -> Self {
        Self { exit_info, returned: -errno.code() }
    }
}

impl State {
    /// One call: the caller's thread, and its structure.
    fn call(&mut self, pid: u32, call: &[u8; CALL_LEN]) -> Result<Outcome, Errno> {
        let address = |at: usize| call.get(at..).and_then(<[u8]>::first_chunk).copied().map_or(0, u64::from_ne_bytes);
        let (request_at, response_at) = (address(8), address(16));
        if call.first() == Some(&0) || request_at == 0 || response_at == 0 {
            return Err(Errno::EINVAL);
        }
        let memory =
            OpenOptions::new().read(true).write(true).open(format!("/proc/{pid}/mem")).map_err(|_| Errno::EFAULT)?;
        let mut request = [0; REQUEST_LEN];
        memory.read_exact_at(&mut request, request_at).map_err(|_| Errno::EFAULT)?;
        if self.key_is_gone {
            return Err(Errno::ENOTTY);
        }
        match self.fault {
            DeviceFault::HostBusy => {
                self.key_is_gone = true;
                return Ok(Outcome::failed(Errno::ETIMEDOUT, 2 << 32));
            }
            DeviceFault::Failed => {
                self.key_is_gone = true;
                return Ok(Outcome::failed(Errno::EIO, 0x1d));
            }
            _ => {}
        }
        let response = self.response(&request)?;
        memory.write_all_at(&response, response_at).map_err(|_| Errno::EFAULT)?;
        Ok(Outcome::DONE)
    }

    /// What the firmware answers, with as many zeros behind it as the kernel copies.
    fn response(&mut self, request: &[u8; REQUEST_LEN]) -> Result<Vec<u8>, Errno> {
        let (report_data, rest) = request.split_at(64);
        let status = match self.fault {
            DeviceFault::Status(status) => status,
            // Level 0, and nothing in what is reserved.
            _ if rest.iter().any(|byte| *byte != 0) => INVALID_PARAMETERS,
            _ => 0,
        };
        let report = if status == 0 { self.report(report_data)? } else { Vec::new() };
        let said = match self.fault {
            DeviceFault::Length(length) => length,
            _ => u32::try_from(report.len()).map_err(|_| Errno::EIO)?,
        };
        let header = status.to_le_bytes().into_iter().chain(said.to_le_bytes()).chain([0; 24]);
        Ok(header.chain(report).chain(std::iter::repeat(0)).take(RESPONSE_LEN).collect())
    }

    fn report(&mut self, report_data: &[u8]) -> Result<Vec<u8>, Errno> {
        if let (DeviceFault::Replay, Some(last)) = (self.fault, &self.last) {
            return Ok(last.clone());
        }
        let asked = if self.fault == DeviceFault::OtherBytes { &[0xee; 64] } else { report_data };
        let report = signed(&self.signer, asked).map_err(|_| Errno::EIO)?;
        self.reports = self.reports.saturating_add(1);
        self.last = Some(report.clone());
        Ok(report)
    }
}

struct Device {
    state: Arc<Mutex<State>>,
    firmware: Mutex<()>,
}

impl Device {
    fn fault(&self) -> DeviceFault {
        lock(&self.state).fault
    }
}

fn attributes(number: INodeNo) -> Option<FileAttr> {
    match number {
        INodeNo::ROOT => Some(about(number, FileType::Directory, 0o755)),
        FILE => Some(about(number, FileType::RegularFile, 0o600)),
        _ => None,
    }
}

impl Filesystem for Device {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = (parent == INodeNo::ROOT && name == OsStr::new(NAME)).then(|| attributes(FILE)).flatten();
        match found {
            Some(attributes) => reply.entry(&NOT_CACHED, &attributes, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match attributes(number) {
            Some(attributes) => reply.attr(&NOT_CACHED, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn ioctl(
        &self,
        request: &Request,
        _: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        command: u32,
        data: &[u8],
        _: u32,
        reply: ReplyIoctl,
    ) {
        let Some(call) = data.first_chunk::<CALL_LEN>().filter(|_| command == GET_REPORT) else {
            return reply.error(Errno::ENOTTY);
        };
        // One call at a time, as the kernel has it.
        let _busy = self.firmware.lock().unwrap_or_else(PoisonError::into_inner);
        if self.fault() == DeviceFault::Silent {
            std::thread::sleep(SILENCE);
        }
        match lock(&self.state).call(request.pid(), call) {
            Ok(outcome) => {
                let kept = call.iter().copied().take(CALL_LEN - size_of::<u64>());
                let after: Vec<u8> = kept.chain(outcome.exit_info.to_ne_bytes()).collect();
                reply.ioctl(outcome.returned, &after);
            }
            Err(errno) => reply.error(errno),
        }
    }
}
