//! What a ledger signed against itself, kept in files until somebody shows it. `docs/protocol.md` §4.3.
//!
//! Decides: where it is kept, and how much of it. Trusts on entry: nothing; who reads a file judges it (`Contradiction::judge`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use credits::Contradiction;
use ledger_client::EvidenceSink;

use crate::files::{FileError, read_capped, write_private};

/// Longest file of evidence.
const BYTES_MAX: u64 = 4096;
/// Most files that are kept: one says enough, and a ledger that goes back again and again shall not fill a disk.
const FILES_MAX: usize = 64;

/// Keeps evidence in a directory, which is made when there is any. What cannot be kept costs evidence and nothing else.
#[must_use]
pub fn sink(directory: PathBuf) -> EvidenceSink {
    EvidenceSink(Arc::new(move |contradiction| drop(keep(&directory, contradiction))))
}

fn keep(directory: &Path, contradiction: &Contradiction) -> Result<(), FileError> {
    let name = format!("ledger-{}-{}.json", contradiction.seen.log_size, contradiction.shown.log_size);
    let file = directory.join(name);
    // The first of its kind stays.
    if file.exists() || std::fs::read_dir(directory).is_ok_and(|files| files.count() >= FILES_MAX) {
        return Ok(());
    }
    write_private(&file, &serde_json::to_vec_pretty(contradiction).unwrap_or_default())
}

/// The files of a directory, if there is one.
#[must_use]
pub fn kept(directory: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|kind| kind == "json")).collect();
    files.sort();
    files
}

/// A file of evidence, not judged yet; nothing if it is none.
///
/// # Errors
/// When the file cannot be read.
pub fn read(file: &Path) -> Result<Option<Contradiction>, FileError> {
    Ok(serde_json::from_slice(&read_capped(file, BYTES_MAX)?).ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use credits::{Bytes32, Checkpoint, Contradiction, Fe, Root, SigningKey, UnsignedCheckpoint};

    use super::{FILES_MAX, kept, read, sink};

    fn of_sizes(seen: u64, shown: u64, time: u64) -> Contradiction {
        let key = SigningKey::from_seed(&[1; 32]);
        let signed = |log_size, time| {
            let (ledger_id, log_root, note_root) = (Bytes32([2; 32]), Bytes32([3; 32]), Root(Fe::from(4)));
            Checkpoint::sign(UnsignedCheckpoint { ledger_id, log_size, log_root, note_count: 1, note_root, time }, &key)
        };
        Contradiction { ledger_key: key.public(), seen: signed(seen, 0), shown: signed(shown, time) }
    }

    #[test]
    fn the_first_of_a_kind_is_kept_and_no_disk_is_filled() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("evidence");
        assert!(kept(&directory).is_empty());
        let sink = sink(directory.clone());
        let first = of_sizes(9, 8, 100);
        (sink.0)(&first);
        (sink.0)(&of_sizes(9, 8, 200));
        let files = kept(&directory);
        assert_eq!(files, [directory.join("ledger-9-8.json")]);
        assert_eq!(read(files.first().unwrap()).unwrap(), Some(first));
        for size in 0..200 {
            (sink.0)(&of_sizes(1_000, size, 100));
        }
        assert_eq!(kept(&directory).len(), FILES_MAX);
        std::fs::write(directory.join("ledger-9-8.json"), "{}").unwrap();
        assert_eq!(read(&directory.join("ledger-9-8.json")).unwrap(), None);
    }
}
