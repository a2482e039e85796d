//! One build at a time in a cache, and no leftovers of builds that were cut.
//!
//! Decides: what a cut build may have left. In a cache everything unfinished has a name that starts with one of `UNFINISHED`; while the
//! cache's lock is held nobody is at work there, so whatever has such a name is nobody's. An image that is being written has a name of
//! [`unfinished_image`]: two caches must not build one flavour into one folder at a time.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

/// How the names of unfinished files and folders in a cache start.
const UNFINISHED: [&str; 9] = [
    ".crates-",
    ".gpu-kernel-",
    ".kernel-",
    ".part-",
    ".programs-",
    ".stand-ins-",
    ".toolroot-",
    ".unpacking-",
    ".wheels-",
];

/// Holds a cache until it is dropped.
#[derive(Debug)]
pub struct Exclusive {
    _lock: File,
}

impl Exclusive {
    /// Waits until no other build uses `cache` (telling `waiting` first), then removes what cut builds left there and in `out`.
    ///
    /// # Errors
    /// When the folders cannot be written.
    pub fn take(cache: &Path, out: &Path, flavour: &str, waiting: &mut dyn FnMut()) -> io::Result<Self> {
        fs::create_dir_all(cache)?;
        fs::create_dir_all(out)?;
        let lock = File::create(cache.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                waiting();
                lock.lock()?;
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        for dir in [cache.to_path_buf(), cache.join("store"), cache.join("unpacked")] {
            sweep(&dir, &UNFINISHED)?;
        }
        sweep(out, &[&unfinished_image(flavour)])?;
        Ok(Self { _lock: lock })
    }
}

/// How the name of an image's folder starts while it is written: nothing else in a folder that a person chose is called so.
#[must_use]
pub fn unfinished_image(flavour: &str) -> String {
    format!(".cloister-unfinished-{flavour}-")
}

fn sweep(dir: &Path, prefixes: &[&str]) -> io::Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if !prefixes.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            continue;
        }
        let path = entry.path();
        if entry.file_type()?.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::Exclusive;

    #[test]
    fn leftovers_go_and_everything_else_stays() {
        let root = tempfile::tempdir().unwrap();
        let (cache, out) = (root.path().join("cache"), root.path().join("out"));
        fs::create_dir_all(cache.join("store")).unwrap();
        for gone in ["cache/.kernel-ab12", "cache/.programs-x", "out/.cloister-unfinished-cpu-77"] {
            fs::create_dir_all(root.path().join(gone).join("inside")).unwrap();
        }
        fs::create_dir_all(&out).unwrap();
        fs::write(cache.join("store/.part-1"), "half").unwrap();
        let stay = [
            "cache/kernel-1",
            "cache/store/abc",
            "out/cpu",
            "out/.cpu-example",
            "out/.cloister-unfinished-debug-1",
            "cache/.other",
        ];
        for file in stay {
            fs::write(root.path().join(file), "whole").unwrap();
        }
        Exclusive::take(&cache, &out, "cpu", &mut || panic!("nobody else is there")).unwrap();
        for gone in
            ["cache/.kernel-ab12", "cache/.programs-x", "out/.cloister-unfinished-cpu-77", "cache/store/.part-1"]
        {
            assert!(!root.path().join(gone).exists(), "{gone}");
        }
        for file in stay {
            assert!(root.path().join(file).exists(), "{file}");
        }
    }

    #[test]
    fn a_second_build_waits_for_the_first() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().to_path_buf();
        let first = Exclusive::take(&dir, &dir, "cpu", &mut || panic!("nobody else is there")).unwrap();
        let (says, hears) = mpsc::channel();
        let second = std::thread::spawn(move || {
            let waits = says.clone();
            Exclusive::take(&dir, &dir, "cpu", &mut || waits.send("waits").unwrap()).unwrap();
            says.send("works").unwrap();
        });
        assert_eq!(hears.recv().unwrap(), "waits");
        assert!(hears.recv_timeout(Duration::from_millis(100)).is_err(), "it works while the first still does");
        drop(first);
        assert_eq!(hears.recv().unwrap(), "works");
        second.join().unwrap();
    }
}
