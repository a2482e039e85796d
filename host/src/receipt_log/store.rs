//! The entries on disk: one file of records, appended to and never changed.
//!
//! An entry that was acknowledged is on disk. What a crash left of others at the end of the file is cut off; the guardian says them
//! again.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, bail};
use credits::merkle::{LogTree, consistency_proof};
use credits::{Bytes32, LogFrontier};
use tlog::entry::RECORD_BYTES;
use tlog::service::APPEND_ENTRIES_MAX;
use tlog::{Checkpoint, ReceiptLogEntry};

use crate::output;

const ENTRIES_FILE: &str = "entries";
/// A record's bytes, as files count them.
const RECORD: u64 = 36;
const _: () = assert!(RECORD_BYTES == 36);

pub(super) struct Store {
    file: File,
    tree: LogTree,
    /// The newest entries, for those that are said again.
    recent: Vec<ReceiptLogEntry>,
}

/// Whole records in the file.
pub(super) fn entries_in(dir: &Path) -> anyhow::Result<u64> {
    let path = dir.join(ENTRIES_FILE);
    Ok(std::fs::metadata(&path).with_context(|| format!("look at {}", path.display()))?.len() / RECORD)
}

impl Store {
    /// Makes the file.
    pub(super) fn begin(dir: &Path) -> anyhow::Result<()> {
        let path = dir.join(ENTRIES_FILE);
        // One without entries may be left of a beginning that was cut off.
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        if file.as_ref().is_ok_and(|file| file.metadata().is_ok_and(|data| data.len() > 0)) {
            bail!("{} has a log", dir.display());
        }
        file.and_then(|file| file.sync_all()).with_context(|| format!("make {}", path.display()))?;
        File::open(dir)?.sync_all().with_context(|| format!("write {}", dir.display()))
    }

    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join(ENTRIES_FILE);
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = file.with_context(|| format!("open {}; `receipt-log init` makes a log", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("another process keeps the log in {}", dir.display()),
            Err(TryLockError::Error(error)) => return Err(error).context("lock the log"),
        }
        let mut store = Self { file, tree: LogTree::new(), recent: Vec::new() };
        store.read(dir).with_context(|| format!("read {}", path.display()))?;
        Ok(store)
    }

    fn read(&mut self, dir: &Path) -> anyhow::Result<()> {
        let length = self.file.metadata()?.len();
        let mut file = std::io::BufReader::with_capacity(1 << 20, self.file.try_clone()?);
        for index in 0..length / RECORD {
            let mut record = [0; RECORD_BYTES];
            file.read_exact(&mut record)?;
            let Some(entry) = ReceiptLogEntry::from_record(&record) else {
                let left = length / RECORD - index;
                // More than one append cannot be torn: what was damaged was acknowledged.
                if left > u64::try_from(APPEND_ENTRIES_MAX)? {
                    bail!("entry {index} is damaged; {left} follow it. Restore the file from a copy");
                }
                break;
            };
            self.push(entry);
        }
        let whole = self.tree.size() * RECORD;
        if whole < length {
            self.cut_off(dir, whole, length)?;
        }
        // What a start before this one wrote and could not sync is in memory, and maybe not on the disk.
        let tail: Vec<u8> = self.recent.iter().flat_map(ReceiptLogEntry::to_record).collect();
        let at = whole.saturating_sub(u64::try_from(tail.len())?);
        self.file.write_all_at(&tail, at)?;
        Ok(self.file.sync_all()?)
    }

    /// What a crash left is of no use, unless it was none: it is kept aside.
    fn cut_off(&self, dir: &Path, whole: u64, length: u64) -> anyhow::Result<()> {
        let mut rest = vec![0; usize::try_from(length - whole)?];
        self.file.read_exact_at(&mut rest, whole)?;
        let name = |number| dir.join(format!("{ENTRIES_FILE}.cut-at-{}.{number}", whole / RECORD));
        let aside = (1_u32..).map(name).find(|path| !path.exists()).context("there is a free name")?;
        let written =
            File::create_new(&aside).and_then(|mut file| file.write_all(&rest).and_then(|()| file.sync_all()));
        written.with_context(|| format!("write {}", aside.display()))?;
        File::open(dir)?.sync_all()?;
        self.file.set_len(whole)?;
        output::note(&format!(
            "cut off {} bytes behind the last whole entry, as a crash leaves them; they are in {}",
            length - whole,
            aside.display()
        ));
        Ok(())
    }

    fn push(&mut self, entry: ReceiptLogEntry) {
        self.tree.append(entry.leaf_hash());
        self.recent.push(entry);
        if self.recent.len() > 2 * APPEND_ENTRIES_MAX {
            self.recent.drain(..APPEND_ENTRIES_MAX);
        }
    }

    pub(super) fn frontier(&self) -> &LogFrontier {
        self.tree.frontier()
    }

    pub(super) fn head(&self) -> Checkpoint {
        Checkpoint { size: self.tree.size(), root: self.tree.root() }
    }

    /// Appends behind the first `from` entries, on disk, and returns how many there are. Those that are there already are passed over.
    pub(super) fn append(&mut self, from: u64, entries: &[ReceiptLogEntry]) -> anyhow::Result<u64> {
        if entries.len() > APPEND_ENTRIES_MAX {
            bail!("{} entries are too many for once", entries.len());
        }
        let size = self.tree.size();
        let differs = || {
            format!(
                "the guardian appends behind {from} entries, and there are {size} here, of another kind. Does a second guardian run?"
            )
        };
        let known = usize::try_from(size.checked_sub(from).with_context(differs)?)?;
        let known = known.min(entries.len());
        let (again, new) = entries.split_at_checked(known).with_context(differs)?;
        let held = self.recent.len().checked_sub(usize::try_from(size - from)?).with_context(differs)?;
        if !self.recent.get(held..).is_some_and(|held| held.starts_with(again)) {
            bail!(differs());
        }
        if new.is_empty() {
            return Ok(size);
        }
        let records: Vec<u8> = new.iter().flat_map(ReceiptLogEntry::to_record).collect();
        if let Err(error) = self.file.write_all_at(&records, size * RECORD) {
            // Whole records of an append that failed must not be found by the next start.
            if let Err(error) = self.file.set_len(size * RECORD) {
                end(&format!("what was written of entries could not be cut off: {error}"));
            }
            return Err(error).context("write entries");
        }
        if let Err(error) = self.file.sync_data() {
            // What the kernel holds and what the disk holds may no longer be the same thing: the next start writes it again.
            end(&format!("the log could not be synced to disk: {error}"));
        }
        for entry in new {
            self.push(*entry);
        }
        Ok(self.tree.size())
    }

    pub(super) fn consistency(&self, from: u64, to: u64) -> anyhow::Result<Vec<Bytes32>> {
        let ours = self.tree.size();
        if to > ours {
            bail!("there are {ours} entries, not {to}");
        }
        Ok(consistency_proof(from, to, |level, at| self.node(level, at))?)
    }

    fn node(&self, level: u8, at: u64) -> Result<Bytes32, std::io::Error> {
        self.tree.node(level, at).ok_or_else(|| std::io::Error::other("the tree has no such node"))
    }
}

/// Ends this process: what it knows of the file may be wrong.
pub(super) fn end(why: &str) -> ! {
    output::note(why);
    std::process::exit(1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use attestation::Sha256Digest;
    use credits::merkle::verify_consistency;
    use tlog::ReceiptLogEntry;

    use super::*;

    fn entry(number: u8) -> ReceiptLogEntry {
        ReceiptLogEntry::Receipt(Sha256Digest([number; 32]))
    }

    fn opened() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        Store::begin(dir.path()).unwrap();
        let store = Store::open(dir.path()).unwrap();
        (dir, store)
    }

    #[test]
    fn what_is_said_again_is_there_once_and_what_differs_is_refused() {
        let (dir, mut store) = opened();
        let entries: Vec<_> = (0..5).map(entry).collect();
        assert_eq!(store.append(0, &entries[..3]).unwrap(), 3);
        assert_eq!(store.append(0, &entries[..3]).unwrap(), 3);
        assert_eq!(store.append(2, &entries[2..3]).unwrap(), 3);
        assert_eq!(store.append(2, &entries[2..5]).unwrap(), 5, "the first of them was there");
        assert_eq!(store.append(0, &entries[..3]).unwrap(), 5, "an old one may be said late");
        for (from, wrong) in [(6, entry(9)), (3, entry(9)), (0, entry(9)), (u64::MAX, entry(0))] {
            assert!(store.append(from, &[wrong]).is_err(), "{from}");
        }
        assert!(store.append(3, &[entry(3), entry(9)]).is_err());
        assert!(Store::open(dir.path()).is_err(), "one process at a time");
        let head = store.head();
        drop(store);
        let mut store = Store::open(dir.path()).unwrap();
        assert_eq!((store.head(), entries_in(dir.path()).unwrap()), (head, 5));
        assert_eq!(store.append(3, &entries[3..5]).unwrap(), 5, "after a restart too");
    }

    #[test]
    fn proofs_lead_to_the_head_they_are_for() {
        let (_dir, mut store) = opened();
        let mut heads = vec![store.head()];
        for number in 0..20 {
            store.append(u64::from(number), &[entry(number)]).unwrap();
            heads.push(store.head());
        }
        for head in &heads[1..] {
            for index in 0..head.size {
                let (old, proof) =
                    (heads[usize::try_from(index).unwrap()], store.consistency(index, head.size).unwrap());
                verify_consistency(old.size, head.size, &proof, &old.root, &head.root).unwrap();
            }
        }
        assert!(store.consistency(3, 21).is_err() && store.consistency(4, 3).is_err());
    }

    /// A crash may leave any part of the entries that were not acknowledged, in any state.
    #[test]
    fn a_torn_end_is_cut_off_and_a_damaged_middle_is_not() {
        let (dir, mut store) = opened();
        let all: Vec<_> = (0..6).map(entry).collect();
        store.append(0, &all).unwrap();
        drop(store);
        let path = dir.path().join(ENTRIES_FILE);
        let whole = std::fs::read(&path).unwrap();
        for keep in 0..=whole.len() {
            std::fs::write(&path, &whole[..keep]).unwrap();
            let mut store = Store::open(dir.path()).unwrap();
            let size = u64::try_from(keep / RECORD_BYTES).unwrap();
            assert_eq!((store.head().size, entries_in(dir.path()).unwrap()), (size, size), "{keep} bytes");
            assert_eq!(store.append(size, &all[keep / RECORD_BYTES..]).unwrap(), 6, "and it goes on");
            let aside = dir.path().join(format!("entries.cut-at-{size}.1"));
            assert_eq!(aside.exists(), keep % RECORD_BYTES > 0, "{keep} bytes");
        }
        // The length was written and the bytes were not.
        let zeros = [&whole[..2 * RECORD_BYTES], &[0; 4 * RECORD_BYTES]].concat();
        std::fs::write(&path, zeros).unwrap();
        assert_eq!(Store::open(dir.path()).unwrap().head().size, 2);
        // A record that was acknowledged long ago is not a torn one.
        let mut long = whole[..RECORD_BYTES].repeat(APPEND_ENTRIES_MAX + 2);
        long[5] ^= 1;
        std::fs::write(&path, &long).unwrap();
        let error = Store::open(dir.path()).err().unwrap();
        assert!(format!("{error:#}").contains("entry 0 is damaged"), "{error:#}");
        assert_eq!(std::fs::read(&path).unwrap(), long, "and is left as it is");
    }
}
