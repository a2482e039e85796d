//! Where marks are looked for: every place that a process of the node can write to, the folders they work in among them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// Largest file that is searched. Nothing the node writes is near it.
const FILE_BYTES_MAX: u64 = 512 << 20;

/// Beside the folders of the node's own processes.
const PLACES: [&str; 6] = ["/dev/shm", "/tmp", "/var/tmp", "/var/crash", "/var/log", "/run"];

/// The folder in which a process works: the kernel leaves its core there.
pub(super) fn works_in(pid: u32) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/cwd")).unwrap()
}

/// Files below `place` that were changed since `since` and hold `mark`, and how many were read.
fn search(place: &Path, mark: &str, since: SystemTime, found: &mut Vec<PathBuf>) -> usize {
    let Ok(entries) = fs::read_dir(place) else { return 0 };
    let mut read = 0;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.to_string_lossy().contains(mark) {
            found.push(path.clone());
        }
        let Ok(about) = fs::symlink_metadata(&path) else { continue };
        if about.is_dir() {
            read += search(&path, mark, since, found);
        } else if about.is_file()
            && about.len() <= FILE_BYTES_MAX
            && about.modified().is_ok_and(|changed| changed >= since)
            && let Ok(bytes) = fs::read(&path)
        {
            read += 1;
            if holds(&bytes, mark) {
                found.push(path);
            }
        }
    }
    read
}

/// Looks for the first byte and then for the rest: the files are many.
fn holds(bytes: &[u8], mark: &str) -> bool {
    let (mark, mut rest) = (mark.as_bytes(), bytes);
    while let Some(at) = rest.iter().position(|byte| *byte == mark[0]) {
        rest = &rest[at..];
        if rest.starts_with(mark) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

/// A core with the mark in it, of a process that does nothing against it, if this machine leaves cores in the folder of who died.
fn core_of_another(folder: &Path, mark: &str) -> Option<PathBuf> {
    let cores = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
        entries.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("core"))).collect()
    };
    let before = cores(folder);
    let script = format!("ulimit -c unlimited; mark={mark}17; kill -ABRT $$");
    let status = Command::new("sh").args(["-c", &script]).current_dir(folder).status().unwrap();
    assert!(!status.success());
    cores(folder).into_iter().find(|core| !before.contains(core))
}

/// What the search found.
pub(super) struct Traces {
    pub(super) found: Vec<PathBuf>,
    /// This machine leaves the core of who dies where it worked, and the search finds it there.
    pub(super) cores_are_left: bool,
}

/// Everything that holds a mark, in all places and in these folders of processes. Proves first that it finds what is there: a log, shared
/// memory, and what a dying process would leave.
pub(super) fn traces(world: &Path, folders: &[PathBuf], mark: &str, since: SystemTime) -> Traces {
    let me = std::process::id();
    let mut planted = vec![world.join("logs/planted"), PathBuf::from(format!("/dev/shm/planted-{me}"))];
    planted.extend(folders.iter().map(|folder| folder.join(format!("core.{me}"))));
    for path in &planted {
        fs::write(path, format!("before {mark}17 after")).unwrap();
    }
    let core = core_of_another(world, mark);
    let cores_are_left = core.is_some();
    planted.extend(core);
    let all = |found: &mut Vec<PathBuf>| {
        let places = PLACES.iter().map(Path::new).chain(folders.iter().map(PathBuf::as_path));
        search(world, mark, since, found) + places.map(|place| search(place, mark, since, found)).sum::<usize>()
    };
    let mut found = Vec::new();
    assert!(all(&mut found) >= 4, "ledger, configuration and what was planted");
    for path in &planted {
        assert!(found.contains(path), "the search finds {}", path.display());
        fs::remove_file(path).unwrap();
    }
    let mut found = Vec::new();
    all(&mut found);
    Traces { found, cores_are_left }
}
