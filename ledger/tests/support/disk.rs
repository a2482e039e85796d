//! A disk that loses power: writes are kept only once they are synced, and what was written since the last sync survives in
//! part, torn and out of order, as a seed decides.

use std::io;
use std::sync::{Arc, Mutex};

use redb::StorageBackend;

/// Writes survive or are lost by the sector.
const SECTOR_BYTES: u64 = 512;

/// A generator of numbers for schedules and crashes (SplitMix64); the same seed gives the same numbers everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Seeded(u64);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// What goes wrong, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// The power fails during this sync.
    PowerAtSync(u64),
    /// This sync reports an error; nothing is known about what it wrote.
    SyncError(u64),
    /// The disk is full from this write on.
    FullAtWrite(u64),
    /// This sync is acknowledged and does nothing, and the power fails during the next: no ledger survives such a disk.
    LiesAtSync(u64),
}

#[derive(Debug)]
enum Pending {
    Write { offset: u64, bytes: Vec<u8> },
    Length(u64),
}

#[derive(Debug)]
struct State {
    /// What a reader in the same process sees.
    current: Vec<u8>,
    /// What is surely on disk.
    durable: Vec<u8>,
    /// What is between the two, in order.
    pending: Vec<Pending>,
    syncs: u64,
    writes: u64,
    fault: Fault,
    is_down: bool,
    seed: Seeded,
}

/// The disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub(crate) struct Disk(Arc<Mutex<State>>);

impl Disk {
    pub(crate) fn new(image: Vec<u8>, fault: Fault, seed: Seeded) -> Self {
        let (current, durable, pending) = (image.clone(), image, Vec::new());
        let (syncs, writes, is_down) = (0, 0, false);
        Self(Arc::new(Mutex::new(State { current, durable, pending, syncs, writes, fault, is_down, seed })))
    }

    /// What is on disk now: after a power failure, what survived it.
    pub(crate) fn image(&self) -> Vec<u8> {
        self.0.lock().unwrap().durable.clone()
    }

    pub(crate) fn is_down(&self) -> bool {
        self.0.lock().unwrap().is_down
    }

    /// Something will go wrong, counted from now.
    pub(crate) fn arm(&self, fault: Fault) {
        let mut state = self.0.lock().unwrap();
        state.fault = match fault {
            Fault::None => Fault::None,
            Fault::PowerAtSync(sync) => Fault::PowerAtSync(state.syncs + sync),
            Fault::SyncError(sync) => Fault::SyncError(state.syncs + sync),
            Fault::FullAtWrite(write) => Fault::FullAtWrite(state.writes + write),
            Fault::LiesAtSync(sync) => Fault::LiesAtSync(state.syncs + sync),
        };
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.0.lock().unwrap().syncs
    }

    pub(crate) fn writes(&self) -> u64 {
        self.0.lock().unwrap().writes
    }
}

impl State {
    fn check_power(&self) -> Result<(), io::Error> {
        if self.is_down { Err(failure("no power")) } else { Ok(()) }
    }

    /// Everything since the last sync reaches the disk.
    fn settle(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            match pending {
                Pending::Write { offset, bytes } => write_at(&mut self.durable, offset, &bytes),
                Pending::Length(length) => self.durable.resize(usize::try_from(length).unwrap(), 0),
            }
        }
    }

    /// Some of what was written since the last sync reaches the disk.
    fn lose_power(&mut self) {
        self.is_down = true;
        let pending = std::mem::take(&mut self.pending);
        let kept_prefix = self.seed.below(u64::try_from(pending.len()).unwrap() + 1);
        let kind = self.seed.below(3);
        for (number, pending) in (0..).zip(pending) {
            let is_kept = match kind {
                // Nothing, or the first writes in order.
                0 => false,
                1 => number < kept_prefix,
                // Any of them, in parts.
                _ => true,
            };
            match pending {
                Pending::Write { offset, bytes } if is_kept => self.tear(offset, &bytes, kind),
                Pending::Length(length) if is_kept && (kind == 1 || self.seed.below(2) == 0) => {
                    self.durable.resize(usize::try_from(length).unwrap(), 0);
                }
                _ => {}
            }
        }
    }

    fn tear(&mut self, offset: u64, bytes: &[u8], kind: u64) {
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let sector_end = (at / SECTOR_BYTES + 1) * SECTOR_BYTES;
            let length = usize::try_from(sector_end - at).unwrap().min(rest.len());
            let (sector, after) = rest.split_at(length);
            if kind == 1 || self.seed.below(2) == 0 {
                write_at(&mut self.durable, at, sector);
            }
            (at, rest) = (sector_end, after);
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        let state = self.0.lock().unwrap();
        state.check_power()?;
        Ok(u64::try_from(state.current.len()).unwrap())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let state = self.0.lock().unwrap();
        state.check_power()?;
        let start = usize::try_from(offset).unwrap();
        let bytes = state.current.get(start..start + out.len()).ok_or_else(|| failure("beyond the end"))?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        let mut state = self.0.lock().unwrap();
        state.check_power()?;
        state.current.resize(usize::try_from(len).unwrap(), 0);
        state.pending.push(Pending::Length(len));
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut state = self.0.lock().unwrap();
        state.check_power()?;
        state.syncs += 1;
        match state.fault {
            Fault::PowerAtSync(sync) if sync == state.syncs => {
                state.lose_power();
                Err(failure("the power failed"))
            }
            Fault::SyncError(sync) if sync == state.syncs => Err(failure("input/output error")),
            Fault::LiesAtSync(sync) if sync == state.syncs => Ok(()),
            Fault::LiesAtSync(sync) if sync + 1 == state.syncs => {
                state.pending.clear();
                state.is_down = true;
                Err(failure("the power failed"))
            }
            _ => {
                state.settle();
                Ok(())
            }
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut state = self.0.lock().unwrap();
        state.check_power()?;
        state.writes += 1;
        if matches!(state.fault, Fault::FullAtWrite(write) if state.writes >= write) {
            return Err(failure("no space left on device"));
        }
        write_at(&mut state.current, offset, data);
        state.pending.push(Pending::Write { offset, bytes: data.to_vec() });
        Ok(())
    }
}

fn failure(message: &str) -> io::Error {
    io::Error::other(message.to_owned())
}

fn write_at(disk: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let start = usize::try_from(offset).unwrap();
    let end = start + bytes.len();
    if disk.len() < end {
        disk.resize(end, 0);
    }
    disk[start..end].copy_from_slice(bytes);
}
