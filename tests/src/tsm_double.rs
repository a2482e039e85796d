//! The kernel's report interface as a file system: one entry of `/sys/kernel/config/tsm/report`, with the semantics of
//! `drivers/virt/coco/tsm.c` and of configfs's binary attributes (Linux 6.12), and with the faults of a firmware or of another user.
//!
//! It stands where the kernel would. Reports come from the simulated platform's socket. What is copied from the kernel, because
//! callers get it wrong: bytes written count from `close` on, and a write that is not taken then is no error; a report is made at
//! the first read after a write and kept until the next; `generation` counts writes, and a write is not taken when the counter
//! would meet that of the last read.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, bail};
use attestation::Base64;
use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request,
    WriteFlags,
};

/// Longest REPORT_DATA (`TSM_REPORT_INBLOB_MAX`).
const INBLOB_BYTES_MAX: usize = 64;
/// Zeros that a quoting service leaves behind a quote; a captured one has as many.
const QUOTE_PADDING: usize = 70;
/// How long a silent firmware takes.
const SILENCE: Duration = Duration::from_secs(12);
/// Nothing is kept by the kernel above.
const NOT_CACHED: Duration = Duration::ZERO;

/// Attributes of the entry: name, mode. Their inode numbers follow that of the root.
const ATTRIBUTES: [(&str, u16); 5] =
    [("provider", 0o444), ("generation", 0o444), ("inblob", 0o200), ("outblob", 0o444), ("auxblob", 0o444)];

/// What goes wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// So many reads of a report find a quote under way.
    UnderWay(u32),
    /// At so many writes another user writes as well.
    OtherWriter(u32),
    /// The firmware gives the report it gave before, whatever it is asked.
    Replay,
    /// A report that is cut short.
    Truncated,
    /// More bytes than a report can have.
    Endless,
    /// The firmware refuses.
    Refused,
    /// The firmware takes longer than anybody waits.
    Silent,
    /// The firmware takes a second for each report.
    Slow,
    /// The platform is one we do not know.
    OtherPlatform,
    /// No provider: the driver is gone.
    NoProvider,
}

/// A mounted entry. Dropping it unmounts it.
#[derive(Debug)]
pub struct TsmDouble {
    entry: PathBuf,
    state: Arc<Mutex<State>>,
    _session: BackgroundSession,
}

#[derive(Debug)]
struct State {
    signer: PathBuf,
    provider: &'static str,
    fault: Fault,
    write_generation: u64,
    read_generation: u64,
    /// A firmware that is silent answers this one caller; others wait for it, as they do for the kernel's lock.
    firmware: Arc<Mutex<()>>,
    /// What the last read of `outblob` began with.
    got: Result<Vec<u8>, Errno>,
    /// Bytes of an `inblob` that is open for writing.
    buffer: Option<Vec<u8>>,
    inblob: Vec<u8>,
    outblob: Option<Vec<u8>>,
    reports: u64,
}

impl TsmDouble {
    /// Why no such file system can be had here, if none can.
    #[must_use]
    pub fn unavailable() -> Option<&'static str> {
        if !Path::new("/dev/fuse").exists() {
            return Some("/dev/fuse is absent");
        }
        (!rustix::process::geteuid().is_root()).then_some("mounting takes root")
    }

    /// Mounts an entry of `provider` at `entry`, whose reports are signed behind the socket `signer`.
    pub fn mount(entry: &Path, signer: &Path, provider: &'static str) -> anyhow::Result<Self> {
        std::fs::create_dir_all(entry)?;
        let state = Arc::new(Mutex::new(State {
            signer: signer.to_path_buf(),
            provider,
            fault: Fault::None,
            write_generation: 0,
            read_generation: 0,
            firmware: Arc::default(),
            got: Ok(Vec::new()),
            buffer: None,
            inblob: Vec::new(),
            outblob: None,
            reports: 0,
        }));
        let mut config = Config::default();
        config.mount_options =
            vec![MountOption::FSName("tsm-double".to_owned()), MountOption::NoDev, MountOption::NoSuid];
        // One thread may be waiting for the firmware.
        config.n_threads = Some(4);
        let session = fuser::spawn_mount(Entry { state: Arc::clone(&state) }, entry, &config)
            .with_context(|| format!("mount the double of configfs-tsm on {}", entry.display()))?;
        Ok(Self { entry: entry.to_path_buf(), state, _session: session })
    }

    /// Where it is mounted.
    #[must_use]
    pub fn entry(&self) -> &Path {
        &self.entry
    }

    /// From now on this goes wrong.
    pub fn play(&self, fault: Fault) {
        lock(&self.state).fault = fault;
    }

    /// What goes wrong now.
    #[must_use]
    pub fn fault(&self) -> Fault {
        lock(&self.state).fault
    }

    /// Sets the counters of writes and of reads.
    pub fn count_from(&self, write_generation: u64, read_generation: u64) {
        let mut state = lock(&self.state);
        (state.write_generation, state.read_generation) = (write_generation, read_generation);
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

impl State {
    fn write(&mut self, bytes: Vec<u8>) {
        if self.write_generation == self.read_generation.wrapping_sub(1) {
            // The kernel says EBUSY here, to nobody: configfs has answered the write already.
            return;
        }
        self.write_generation = self.write_generation.wrapping_add(1);
        self.inblob = bytes;
    }

    fn commit(&mut self) {
        let Some(bytes) = self.buffer.take() else { return };
        self.write(bytes);
        if let Fault::OtherWriter(times) = self.fault {
            self.fault = times.checked_sub(1).filter(|left| *left > 0).map_or(Fault::None, Fault::OtherWriter);
            self.write(vec![0xee; INBLOB_BYTES_MAX]);
        }
    }

    fn outblob(&mut self) -> Result<Vec<u8>, Errno> {
        match self.fault {
            Fault::UnderWay(times) => {
                self.fault = times.checked_sub(1).filter(|left| *left > 0).map_or(Fault::None, Fault::UnderWay);
                return Err(Errno::EBUSY);
            }
            Fault::Refused => return Err(Errno::EIO),
            Fault::NoProvider => return Err(Errno::ENOTTY),
            Fault::Endless => return Ok(vec![0; 40_000]),
            Fault::None
            | Fault::Silent
            | Fault::Slow
            | Fault::OtherWriter(_)
            | Fault::Replay
            | Fault::Truncated
            | Fault::OtherPlatform => {}
        }
        if self.inblob.is_empty() {
            return Err(Errno::EINVAL);
        }
        let is_kept = self.read_generation == self.write_generation || self.fault == Fault::Replay;
        let report = match self.outblob.take().filter(|_| is_kept) {
            Some(report) => report,
            None => {
                self.reports = self.reports.saturating_add(1);
                signed(&self.signer, &self.inblob).map_err(|_| Errno::EIO)?
            }
        };
        self.read_generation = self.write_generation;
        self.outblob = Some(report.clone());
        let length = if self.fault == Fault::Truncated { report.len() / 2 } else { report.len() };
        let padding = if self.provider == "tdx_guest" { QUOTE_PADDING } else { 0 };
        Ok(report.into_iter().take(length).chain(std::iter::repeat_n(0, padding)).collect())
    }

    fn read(&mut self, name: &str) -> Result<Vec<u8>, Errno> {
        match name {
            "provider" if self.fault == Fault::NoProvider => Err(Errno::ENOTTY),
            "provider" if self.fault == Fault::OtherPlatform => Ok(b"arm_cca_guest\n".to_vec()),
            "provider" => Ok(format!("{}\n", self.provider).into_bytes()),
            "generation" => Ok(format!("{}\n", self.write_generation).into_bytes()),
            "outblob" => self.got.clone(),
            "auxblob" => Ok(Vec::new()),
            _ => Err(Errno::EACCES),
        }
    }
}

/// Asks the simulated platform.
pub(crate) fn signed(signer: &Path, report_data: &[u8]) -> anyhow::Result<Vec<u8>> {
    #[derive(serde::Deserialize)]
    struct Evidence {
        report: Base64,
    }
    #[derive(serde::Deserialize)]
    struct Report {
        evidence: Evidence,
    }
    #[derive(serde::Deserialize)]
    struct Answer {
        report: Option<Report>,
    }
    let mut stream = UnixStream::connect(signer)?;
    writeln!(stream, "{{\"report_data\":\"{}\"}}", hex::encode(report_data))?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let answer: Answer = serde_json::from_str(&line)?;
    match answer.report {
        Some(report) => Ok(report.evidence.report.0),
        None => bail!("the platform signed nothing: {line}"),
    }
}

struct Entry {
    state: Arc<Mutex<State>>,
}

fn attribute(number: INodeNo) -> Option<(&'static str, u16)> {
    let index = u64::from(number).checked_sub(u64::from(INodeNo::ROOT))?.checked_sub(1)?;
    ATTRIBUTES.get(usize::try_from(index).ok()?).copied()
}

fn attributes(number: INodeNo) -> Option<FileAttr> {
    match attribute(number) {
        Some((_, mode)) => Some(about(number, FileType::RegularFile, mode)),
        None if number == INodeNo::ROOT => Some(about(number, FileType::Directory, 0o755)),
        None => None,
    }
}

/// A file of root's, as `stat` is to show it.
pub(crate) fn about(number: INodeNo, kind: FileType, perm: u16) -> FileAttr {
    FileAttr {
        ino: number,
        size: 4096,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

impl Filesystem for Entry {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let index = ATTRIBUTES.iter().position(|(known, _)| parent == INodeNo::ROOT && name == OsStr::new(known));
        let number = index.and_then(|index| u64::try_from(index).ok()?.checked_add(u64::from(INodeNo::ROOT) + 1));
        match number.and_then(|number| attributes(INodeNo(number))) {
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

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let Some((name, _)) = attribute(number) else { return reply.error(Errno::EISDIR) };
        // configfs asks for the whole attribute at the first read after an open, and hands out what it got then.
        if name == "outblob" && offset == 0 {
            let (firmware, fault) = {
                let state = lock(&self.state);
                (Arc::clone(&state.firmware), state.fault)
            };
            let _busy = firmware.lock().unwrap_or_else(PoisonError::into_inner);
            match fault {
                Fault::Silent => std::thread::sleep(SILENCE),
                Fault::Slow => std::thread::sleep(Duration::from_secs(1)),
                _ => {}
            }
            let mut state = lock(&self.state);
            state.got = state.outblob();
        }
        match lock(&self.state).read(name) {
            Ok(bytes) => {
                let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
                let end = rest.len().min(usize::try_from(size).unwrap_or(usize::MAX));
                reply.data(rest.get(..end).unwrap_or_default());
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        if attribute(number).is_none_or(|(name, _)| name != "inblob") {
            return reply.error(Errno::EACCES);
        }
        let mut state = lock(&self.state);
        let buffer = state.buffer.get_or_insert_default();
        let end = usize::try_from(offset).unwrap_or(usize::MAX).saturating_add(data.len());
        if end > INBLOB_BYTES_MAX {
            return reply.error(Errno::EFBIG);
        }
        if offset != u64::try_from(buffer.len()).unwrap_or(u64::MAX) {
            return reply.error(Errno::EINVAL);
        }
        buffer.extend_from_slice(data);
        reply.written(u32::try_from(data.len()).unwrap_or(0));
    }

    /// `close`, which waits for this; configfs takes what was written when the file is released.
    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        lock(&self.state).commit();
        reply.ok();
    }
}
