#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::io::Cursor;

use super::target::{in_use, require_room};
use super::*;

/// An image of three chunks and a bit.
fn image() -> (Vec<u8>, Expected) {
    let bytes: Vec<u8> = (0..3 * CHUNK_LEN + 517).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let expected = Expected { digest: Sha256Digest::of(&bytes), size: length(&bytes) };
    (bytes, expected)
}

fn silent() -> impl FnMut(u64, u64) {
    |_, _| {}
}

/// A device of a fixed size, which held another system before.
struct Device {
    cells: Cursor<Vec<u8>>,
    fails_at: u64,
}

impl Device {
    fn new(size: usize, fails_at: u64) -> Self {
        Self { cells: Cursor::new(vec![0xee; size]), fails_at }
    }

    fn has_no_table(&self) -> bool {
        self.cells.get_ref().iter().take(1 << 20).all(|byte| *byte == 0)
    }
}

impl Write for Device {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let at = self.cells.position();
        if at + length(bytes) > self.fails_at {
            return Err(io::Error::other("unplugged"));
        }
        let room = length(self.cells.get_ref()).saturating_sub(at);
        if room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let fits = bytes.len().min(usize::try_from(room).unwrap());
        self.cells.write(&bytes[..fits])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Device {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.cells.seek(to)
    }
}

#[test]
fn what_is_written_reads_back() {
    let (bytes, expected) = image();
    let mut device = Device::new(bytes.len() + 4096, u64::MAX);
    let mut seen = Vec::new();
    write(&mut &bytes[..], &mut device, expected, &mut |done, of| seen.push((done, of))).unwrap();
    assert_eq!(seen.last(), Some(&(expected.size, expected.size)));
    assert_eq!(device.cells.get_ref()[..bytes.len()], bytes);
    read_back(&mut device.cells, expected, &mut silent()).unwrap();
    device.cells.get_mut()[CHUNK_LEN] ^= 1;
    let refused = read_back(&mut device.cells, expected, &mut silent());
    assert!(matches!(refused, Err(FlashError::ReadBack { .. })), "a medium that lies is found out");
}

#[test]
fn an_interrupted_target_has_no_partition_table() {
    let (bytes, expected) = image();
    for fails_at in [HEAD_LEN + 1, length_of(CHUNK_LEN), expected.size - 1] {
        let mut device = Device::new(bytes.len(), fails_at);
        let refused = write(&mut &bytes[..], &mut device, expected, &mut silent());
        assert!(matches!(refused, Err(FlashError::Write { .. })), "{fails_at}");
        assert!(device.has_no_table(), "{fails_at}");
    }
}

#[test]
fn a_device_that_ends_early_says_so() {
    let (bytes, expected) = image();
    let mut device = Device::new(bytes.len() - 1, u64::MAX);
    let refused = write(&mut &bytes[..], &mut device, expected, &mut silent());
    assert!(matches!(refused, Err(FlashError::Short { .. })));
    assert!(device.has_no_table());
    assert!(require_room(Path::new("/dev/sdx"), expected.size - 1, expected.size).is_err());
    require_room(Path::new("/dev/sdx"), expected.size, expected.size).unwrap();
}

#[test]
fn another_image_is_never_finished() {
    let (mut bytes, expected) = image();
    bytes[2 * CHUNK_LEN] ^= 1;
    let mut device = Device::new(bytes.len(), u64::MAX);
    let refused = write(&mut &bytes[..], &mut device, expected, &mut silent());
    assert!(matches!(refused, Err(FlashError::Digest { .. })));
    assert!(device.has_no_table());
    let refused = write(&mut &bytes[..CHUNK_LEN], &mut device, expected, &mut silent());
    assert!(matches!(refused, Err(FlashError::Size { .. })), "an image that is cut off");
}

#[test]
fn a_file_appears_when_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (place, partial) = (dir.path().join("disk"), dir.path().join("disk.partial"));
    let (bytes, expected) = image();
    let mut target = Target::open(&place, expected.size, false).unwrap();
    write(&mut &bytes[..], target.file(), expected, &mut silent()).unwrap();
    target.settle().unwrap();
    read_back(target.file(), expected, &mut silent()).unwrap();
    assert!(!place.exists() && partial.exists());
    assert_eq!(target.finish().unwrap(), place);
    assert_eq!(fs::read(&place).unwrap(), bytes);
    let kept = Target::open(&place, expected.size, false).map(drop).unwrap_err().to_string();
    assert!(kept.contains("--yes"), "{kept}");
    let mut target = Target::open(&place, expected.size, true).unwrap();
    assert!(write(&mut &bytes[..9], target.file(), expected, &mut silent()).is_err());
    target.abandon();
    assert!(!partial.exists());
    assert_eq!(fs::read(&place).unwrap(), bytes, "what was there stays until the new one is whole");
    assert!(Target::open(dir.path(), 1, true).is_err(), "a directory");
    assert!(Target::open(Path::new("/dev/no-such-device"), 1, true).is_err());
    assert!(Target::open(Path::new("/dev/null"), 1, true).is_err(), "a character device");
}

#[test]
fn devices_in_use_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("vdb");
    let part = disk.join("vdb1");
    for folder in [disk.join("holders"), part.join("holders")] {
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(part.join("partition"), "1\n").unwrap();
    fs::write(part.join("dev"), "254:17\n").unwrap();
    let mounts = "22 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw\n";
    let swaps = |number: &str| vec![number.to_owned()];
    assert_eq!(in_use(&disk, "254:16", mounts, &swaps("254:2")), None);
    assert!(in_use(&part, "254:17", mounts, &[]).unwrap().contains("partition"));
    assert!(in_use(&disk, "254:1", mounts, &[]).unwrap().contains("mounted on /"));
    let mounted = mounts.replace("254:1 ", "254:17 ").replace(" / / ", " / /srv ");
    assert!(in_use(&disk, "254:16", &mounted, &[]).unwrap().contains("mounted on /srv"));
    assert!(in_use(&disk, "254:16", mounts, &swaps("254:17")).unwrap().contains("swap"));
    fs::write(part.join("holders/dm-0"), "").unwrap();
    assert!(in_use(&disk, "254:16", mounts, &[]).unwrap().contains("dm-0 stands on 254:17"));
}
