//! What is written to: a whole block device that nobody uses, or a file.
//!
//! Decides: whether the target may be overwritten. Everything is refused that a mounted file system, a partition in use, swap
//! or another device stands on; the kernel's exclusive opening holds that for as long as the writing takes.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::fs::{Advice, OFlags, fadvise, major, minor};

/// Where a device's second partition table would be.
const END_LEN: u64 = 1 << 20;

/// An open target.
pub(super) struct Target {
    file: File,
    path: PathBuf,
    kind: Kind,
}

enum Kind {
    Device {
        size: u64,
    },
    /// Written under another name and renamed when it is whole.
    File {
        partial: PathBuf,
    },
}

impl Target {
    /// Opens `path` for an image of `size` bytes. Nothing is written yet.
    pub(super) fn open(path: &Path, size: u64, erase: bool) -> anyhow::Result<Self> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.file_type().is_block_device() => {
                let path = fs::canonicalize(path)?;
                require_unused(&path, metadata.rdev())?;
                Self::open_device(path, size, erase)
            }
            Ok(metadata) if !metadata.is_file() => bail!("{} is neither a device nor a file", path.display()),
            Ok(_) if !erase => bail!("{} exists; --yes replaces it", path.display()),
            Ok(_) => Self::open_file(path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                // A name under /dev that is no device is a slip: a file there would fill memory.
                if path.starts_with("/dev") {
                    bail!("there is no device {}", path.display());
                }
                Self::open_file(path)
            }
            Err(error) => Err(error).with_context(|| format!("open {}", path.display())),
        }
    }

    fn open_device(path: PathBuf, size: u64, erase: bool) -> anyhow::Result<Self> {
        let exclusive = i32::try_from(OFlags::EXCL.bits())?;
        let opened = OpenOptions::new().read(true).write(true).custom_flags(exclusive).open(&path);
        let mut file = opened.with_context(|| format!("open {} for this program alone", path.display()))?;
        let has = file.seek(SeekFrom::End(0))?;
        require_room(&path, has, size)?;
        if !erase {
            bail!("this erases all {has} bytes of {}; --yes does it", path.display());
        }
        Ok(Self { file, path, kind: Kind::Device { size: has } })
    }

    fn open_file(path: &Path) -> anyhow::Result<Self> {
        let name = path.file_name().with_context(|| format!("{} has no name", path.display()))?;
        let mut partial = name.to_owned();
        partial.push(".partial");
        let partial = path.with_file_name(partial);
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&partial);
        let file = opened.with_context(|| format!("open {}", partial.display()))?;
        Ok(Self { file, path: path.to_owned(), kind: Kind::File { partial } })
    }

    pub(super) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Zeros over the end of a larger device, where the second partition table of what it held before may be.
    pub(super) fn clear_end(&mut self, image_size: u64) -> anyhow::Result<()> {
        let Kind::Device { size } = self.kind else { return Ok(()) };
        let start = size.saturating_sub(END_LEN).max(image_size);
        let zeros = vec![0; usize::try_from(size.saturating_sub(start))?];
        self.file.seek(SeekFrom::Start(start))?;
        self.file.write_all(&zeros).with_context(|| format!("clear the end of {}", self.path.display()))
    }

    /// Everything is on the medium, and the next read comes from there and not from memory.
    pub(super) fn settle(&self) -> anyhow::Result<()> {
        self.file.sync_all().with_context(|| format!("write {} out", self.path.display()))?;
        Ok(fadvise(&self.file, 0, None, Advice::DontNeed)?)
    }

    /// Leaves nothing behind that looks like an image.
    pub(super) fn abandon(self) {
        // Why writing failed matters more than why this did.
        let _ = match self.kind {
            Kind::Device { .. } => self.file.sync_all(),
            Kind::File { partial } => fs::remove_file(partial),
        };
    }

    /// The target is whole. Returns its name.
    pub(super) fn finish(self) -> anyhow::Result<PathBuf> {
        if let Kind::File { partial } = &self.kind {
            fs::rename(partial, &self.path).with_context(|| format!("name {}", self.path.display()))?;
        }
        Ok(self.path)
    }
}

pub(super) fn require_room(path: &Path, has: u64, needs: u64) -> anyhow::Result<()> {
    if has < needs {
        bail!("{} has {has} bytes, the image needs {needs}", path.display());
    }
    Ok(())
}

/// Refuses a device that is a partition, or that anything stands on.
fn require_unused(path: &Path, device: u64) -> anyhow::Result<()> {
    let number = format!("{}:{}", major(device), minor(device));
    let sysfs = Path::new("/sys/dev/block").join(&number);
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("read what is mounted")?;
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    let swaps = swaps.lines().skip(1).filter_map(|line| fs::metadata(line.split_whitespace().next()?).ok());
    let swaps: Vec<String> = swaps.map(|metadata| numbers(metadata.rdev())).collect();
    match in_use(&sysfs, &number, &mounts, &swaps) {
        None => Ok(()),
        Some(reason) => bail!("{} {reason}", path.display()),
    }
}

fn numbers(device: u64) -> String {
    format!("{}:{}", major(device), minor(device))
}

/// Why the device at `sysfs` must not be written, from what the kernel says of it and of its partitions.
pub(super) fn in_use(sysfs: &Path, number: &str, mounts: &str, swaps: &[String]) -> Option<String> {
    if sysfs.join("partition").exists() {
        return Some("is a partition: an image is a whole disk".to_owned());
    }
    let mut parts = vec![(sysfs.to_owned(), number.to_owned())];
    for entry in fs::read_dir(sysfs).into_iter().flatten().flatten() {
        if let (true, Ok(number)) =
            (entry.path().join("partition").exists(), fs::read_to_string(entry.path().join("dev")))
        {
            parts.push((entry.path(), number.trim().to_owned()));
        }
    }
    for (path, number) in parts {
        // proc(5), mountinfo: the third field is the device, the fifth where it is mounted.
        let mounted = mounts
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .find(|fields| fields.get(2) == Some(&&*number));
        if let Some(place) = mounted.and_then(|fields| fields.get(4).map(ToString::to_string)) {
            return Some(format!("is in use: {number} is mounted on {place}"));
        }
        if swaps.contains(&number) {
            return Some(format!("is in use: {number} is swap"));
        }
        let mut holders = fs::read_dir(path.join("holders")).into_iter().flatten().flatten();
        if let Some(holder) = holders.next() {
            return Some(format!("is in use: {} stands on {number}", holder.file_name().display()));
        }
    }
    None
}
