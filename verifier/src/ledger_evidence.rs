//! What a ledger signed against itself, kept in files until somebody shows it. `docs/protocol.md` §4.3.
//!
//! Decides: where it is kept, and how much of it. Trusts on entry: nothing; who reads a file judges it (`Contradiction::judge`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use credits::{Contradicted, Contradiction};
use ledger_client::EvidenceSink;

use crate::files::{FileError, read_capped, write_private};

/// Longest file of evidence.
const BYTES_MAX: u64 = 4096;
/// Most files of one kind that are kept: one says enough, and a ledger that goes back again and again shall not fill a disk. What proves
/// nothing by itself takes no place from what does.
const FILES_MAX: usize = 64;

/// Keeps evidence in a directory, which is made when there is any. What cannot be kept costs evidence and nothing else.
#[must_use]
pub fn sink(directory: PathBuf) -> EvidenceSink {
    EvidenceSink(Arc::new(move |contradiction| drop(keep(&directory, contradiction))))
}

fn keep(directory: &Path, contradiction: &Contradiction) -> Result<(), FileError> {
    let kind = match contradiction.judge() {
        Ok(Contradicted::Fork) => "fork",
        Ok(Contradicted::Rollback) => "rollback",
        Ok(Contradicted::ProofOwed { .. }) => "owed",
        Err(_) => return Ok(()),
    };
    let end = format!("-{kind}.json");
    let name = format!("ledger-{}-{}{end}", contradiction.seen.log_size, contradiction.shown.log_size);
    let file = directory.join(name);
    let others = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let of_its_kind = others.filter(|other| other.file_name().to_string_lossy().ends_with(&end)).count();
    // The first of its kind and sizes stays.
    if file.exists() || of_its_kind >= FILES_MAX {
        return Ok(());
    }
    write_private(&file, &serde_json::to_vec_pretty(contradiction).unwrap_or_default())
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

    use super::{FILES_MAX, read, sink};

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
        let files = || std::fs::read_dir(&directory).map_or(0, Iterator::count);
        let sink = sink(directory.clone());
        let first = of_sizes(9, 8, 100);
        (sink.0)(&first);
        (sink.0)(&of_sizes(9, 8, 200));
        assert_eq!(files(), 1);
        let owed = directory.join("ledger-9-8-owed.json");
        assert_eq!(read(&owed).unwrap(), Some(first));
        // However many there are that prove nothing by themselves, one that does is kept, of the same sizes too.
        for size in 0..200 {
            (sink.0)(&of_sizes(1_000, size, 100));
        }
        assert_eq!(files(), FILES_MAX);
        let proof = of_sizes(9, 8, 1_000);
        (sink.0)(&proof);
        assert_eq!(read(&directory.join("ledger-9-8-rollback.json")).unwrap(), Some(proof));
        // What accuses nobody is not evidence.
        let mut forged = of_sizes(9, 7, 1_000);
        forged.shown.note_count = 2;
        (sink.0)(&forged);
        assert_eq!(files(), FILES_MAX + 1);
        std::fs::write(&owed, "{}").unwrap();
        assert_eq!(read(&owed).unwrap(), None);
    }
}
