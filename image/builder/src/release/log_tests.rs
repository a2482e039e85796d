//! The log on disk: whole, altered in every way, cut anywhere.

use std::collections::BTreeMap;
use std::fs;

use attestation::reference::ImageMode;
use attestation::{Hex32, ReceiptKey, UnixTime};
use verifier::release::entry::ENTRY_SCHEMA;

use super::*;

fn signer() -> NoteSigner {
    NoteSigner::new("example.com/log", ReceiptKey::from_seed(&[7; 32]).unwrap()).unwrap()
}

fn entry(number: u32) -> ReleaseEntry {
    let digest = Hex32([u8::try_from(number % 256).unwrap(); 32]);
    ReleaseEntry {
        schema: ENTRY_SCHEMA.to_owned(),
        version: Version([1, number, 0]),
        flavour: "cpu".to_owned(),
        mode: ImageMode::Production,
        manifest_sha256: digest,
        reference_values_sha256: digest,
        sbom_sha256: digest,
        provenance_sha256: digest,
        released_at: UnixTime(u64::from(number)),
    }
}

fn bytes(number: u32) -> Vec<u8> {
    entry(number).to_bytes().unwrap()
}

fn put(directory: &Path, file: &str, content: &[u8]) {
    let path = directory.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// A log of `count` entries, written without waiting for the disk.
fn make(directory: &Path, count: u32) {
    let mut log = ReleaseLog::open(directory, signer()).unwrap();
    for number in 0..count {
        for (file, content) in log.grow(&bytes(number), entry(number)) {
            put(directory, &file, &content);
        }
    }
}

fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = list(directory).unwrap().into_iter().filter(|file| file != LOCK);
    files.map(|file| (file.clone(), fs::read(directory.join(&file)).unwrap())).collect()
}

fn restore(directory: &Path, files: &BTreeMap<String, Vec<u8>>) {
    fs::remove_dir_all(directory).unwrap();
    fs::create_dir(directory).unwrap();
    files.iter().for_each(|(file, content)| put(directory, file, content));
}

/// Across a whole tile: layout, proofs of every entry and of every growth, and the checkpoint after each append.
#[test]
fn a_log_grows_over_a_tile_and_proves_all_of_it() {
    let home = tempfile::tempdir().unwrap();
    make(home.path(), 254);
    let mut heads = Vec::new();
    for number in 254..259 {
        let log = ReleaseLog::open(home.path(), signer()).unwrap();
        let (log, index) = log.append(&bytes(number)).unwrap();
        assert_eq!(index, u64::from(number));
        let head = Checkpoint::open(log.checkpoint().unwrap(), signer().public()).unwrap();
        assert_eq!(head.size, index + 1);
        for index in 0..head.size {
            let proof = log.proof(index).unwrap();
            assert_eq!(LogProof::from_text(&proof.to_text()).unwrap(), proof);
            proof.verify(&bytes(u32::try_from(index).unwrap()), &head).unwrap();
        }
        assert!(log.proof(head.size).is_none());
        let growth = log.growth();
        assert_eq!(u64::try_from(growth.len()).unwrap(), head.size - 1);
        heads.push(head);
        for old in &heads[..heads.len() - 1] {
            growth.iter().find(|growth| growth.from == old.size).unwrap().verify(old, &head).unwrap();
        }
    }
    let files = contents(home.path());
    for file in
        ["tile/0/000", "tile/0/001.p/3", "tile/1/000.p/1", "tile/entries/000", "tile/entries/001.p/3", "checkpoint"]
    {
        assert!(files.contains_key(file), "{file}");
    }
    assert_eq!(files["tile/0/000"].len(), 8192);
    assert!(!files.keys().any(|file| file.starts_with("tile/2")));
}

/// Every byte of every file, every cut, every missing and every foreign file.
#[test]
fn an_altered_log_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("log");
    make(&directory, 3);
    let good = contents(&directory);
    assert_eq!(good.len(), 7, "three widths of entries and of hashes, and the checkpoint");
    let open = |what: &str| match ReleaseLog::open(&directory, signer()) {
        Ok(_) => panic!("{what} was accepted"),
        Err(LogError::Altered { .. }) => "altered",
        Err(LogError::Checkpoint(_)) => "checkpoint",
        Err(error) => panic!("{what}: {error}"),
    };
    for (file, content) in &good {
        let path = directory.join(file);
        for at in 0..content.len() {
            let mut changed = content.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).unwrap();
            let code = open(&format!("byte {at} of {file}"));
            assert!(code == "altered" || file == CHECKPOINT, "byte {at} of {file}");
        }
        let longer = [content, &b"\0"[..]].concat();
        for changed in [&content[..content.len() - 1], &content[..content.len() / 2], &[], &longer] {
            fs::write(&path, changed).unwrap();
            open(&format!("{file} of {} bytes", changed.len()));
        }
        fs::remove_file(&path).unwrap();
        open(&format!("without {file}"));
        fs::write(&path, content).unwrap();
    }
    let refused = |what: &str| {
        let code = open(what);
        restore(&directory, &good);
        code
    };
    for foreign in
        ["notes", "tile/0/001", "tile/0/00.p/1", "tile/entries/000.p/3x", "tile/1/000.p/1", "tile/entries/000.p/5"]
    {
        put(&directory, foreign, b"x");
        refused(foreign);
    }
    std::os::unix::fs::symlink("checkpoint", directory.join("link")).unwrap();
    refused("a symbolic link");
    // Another log's checkpoint, and an older one of this log: what was signed since is still there.
    let other = NoteSigner::new("example.com/log", ReceiptKey::from_seed(&[9; 32]).unwrap()).unwrap();
    let head = Checkpoint::open(std::str::from_utf8(&good[CHECKPOINT]).unwrap(), signer().public()).unwrap();
    fs::write(directory.join(CHECKPOINT), head.sign(&other)).unwrap();
    assert_eq!(refused("another key's checkpoint"), "checkpoint");
    let older = home.path().join("older");
    make(&older, 1);
    fs::copy(older.join(CHECKPOINT), directory.join(CHECKPOINT)).unwrap();
    assert_eq!(refused("a checkpoint that was put back"), "altered");
    // What was never finished is no part of the log.
    put(&directory, "tile/0/.000.tmp", b"half");
    assert!(ReleaseLog::open(&directory, signer()).is_ok());
}

/// Entries that do not belong in a log, under a checkpoint that covers them: whoever has the key can sign them, the tool does not
/// build on them.
#[test]
fn a_signed_log_of_other_things_is_refused() {
    let rows: [(&[&[u8]], &str); 3] = [
        (&[b"no entry"], "holds what is not an entry"),
        (&[&bytes(1), &bytes(1)], "holds a version twice"),
        (&[&[bytes(1).as_slice(), b"\n"].concat()], "holds what is not an entry"),
    ];
    for (entries, expected) in rows {
        let home = tempfile::tempdir().unwrap();
        let mut log = ReleaseLog::open(home.path(), signer()).unwrap();
        for bytes in entries {
            for (file, content) in log.grow(bytes, entry(1)) {
                put(home.path(), &file, &content);
            }
        }
        drop(log);
        match ReleaseLog::open(home.path(), signer()) {
            Err(LogError::Altered { problem, .. }) => assert_eq!(problem, expected),
            other => panic!("{other:?}"),
        }
    }
}

/// The writes of one append, cut after each of them and within each: the old log stands, the same release can be logged, and
/// another cannot take its place unnoticed.
#[test]
fn a_cut_anywhere_leaves_the_old_log() {
    for size in [0, 1, 2, 255, 256] {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("log");
        make(&directory, size);
        let old = contents(&directory);
        let writes = ReleaseLog::open(&directory, signer()).unwrap().grow(&bytes(size), entry(size));
        let done = directory.join(CHECKPOINT);
        for cut in 0..=writes.len() {
            let apply = || {
                restore(&directory, &old);
                writes[..cut].iter().for_each(|(file, content)| put(&directory, file, content));
                if let Some((file, content)) = writes.get(cut) {
                    // A file appears under its name when it is whole; until then it is a temporary one.
                    let (parent, name) = file.rsplit_once('/').unwrap_or((".", file));
                    put(&directory, &format!("{parent}/.{name}.tmp"), &content[..content.len() / 2]);
                }
            };
            apply();
            let log = ReleaseLog::open(&directory, signer()).unwrap();
            let finished = cut == writes.len();
            assert_eq!(log.tree.size(), u64::from(size) + u64::from(finished), "size {size}, cut {cut}");
            assert_eq!(
                fs::read(&done).ok().as_ref(),
                if finished { Some(&writes[cut - 1].1) } else { old.get(CHECKPOINT) }
            );
            let (log, index) = log.append(&bytes(size)).unwrap();
            assert_eq!(index, u64::from(size));
            drop(log);
            let mut whole = old.clone();
            whole.extend(writes.iter().cloned());
            assert_eq!(contents(&directory), whole, "size {size}, cut {cut}");
            apply();
            let other = ReleaseLog::open(&directory, signer()).unwrap().append(&bytes(size + 1));
            match other {
                Ok(_) => assert!(cut == 0 || finished, "size {size}, cut {cut}"),
                Err(LogError::Unfinished { version, .. }) => assert_eq!(version, entry(size).version),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn what_cannot_be_logged_has_its_reason() {
    let home = tempfile::tempdir().unwrap();
    make(home.path(), 3);
    let before = contents(home.path());
    let append = |bytes: &[u8]| ReleaseLog::open(home.path(), signer()).unwrap().append(bytes).map(|(_, index)| index);
    assert_eq!(append(&bytes(1)).unwrap(), 1, "logged before");
    let mut changed = entry(1);
    changed.sbom_sha256.0[0] ^= 1;
    assert!(matches!(append(&changed.to_bytes().unwrap()), Err(LogError::Twice { .. })));
    let mut older = entry(1);
    older.version = Version([0, 9, 0]);
    assert!(matches!(append(&older.to_bytes().unwrap()), Err(LogError::NotNewer { .. })));
    assert!(matches!(append(b"{}"), Err(LogError::Entry(_))));
    assert_eq!(contents(home.path()), before);
    older.flavour = "gpu".to_owned();
    assert_eq!(append(&older.to_bytes().unwrap()).unwrap(), 3, "another flavour has its own order");
    let held = ReleaseLog::open(home.path(), signer()).unwrap();
    assert!(matches!(ReleaseLog::open(home.path(), signer()), Err(LogError::Locked { .. })));
    drop(held);
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(ReleaseLog::open(&file.join("log"), signer()), Err(LogError::File(_))));
}
