use std::fs;
use std::process::Command;

use image_builder::fat::{SIZE_BYTES_MIN, esp};
use image_builder::gpt::{GptError, Partition, TYPE_ESP, TYPE_LINUX_DATA, write};
use image_builder::tree::Source;

use crate::support::{have, pattern, run};

const VOLUME_ID: u32 = 0xc101_57e2;
const MIB: usize = 1 << 20;

/// An empty loader, sizes around a cluster, and one that needs more than the smallest file system.
#[test]
fn the_firmware_finds_its_file() {
    for len in [0, 1, 511, 512, 513, 3 * MIB, 45 * MIB] {
        let loader = pattern(len);
        let image = esp(&loader, VOLUME_ID).unwrap();
        assert!(image == esp(&loader, VOLUME_ID).unwrap(), "twice the same bytes");
        assert_eq!(image.len(), SIZE_BYTES_MIN.max((len + len / 32 + MIB).next_multiple_of(MIB)));
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("esp");
        fs::write(&file, image).unwrap();
        if have("fsck.fat", "dosfstools") {
            run(Command::new("fsck.fat").arg("-nv").arg(&file));
        }
        if have("mcopy", "mtools") {
            let copied = directory.path().join("copied");
            run(Command::new("mcopy").arg("-i").arg(&file).arg("::/EFI/BOOT/BOOTX64.EFI").arg(&copied));
            assert!(fs::read(copied).unwrap() == loader, "mcopy reads something else");
            let listed = run(Command::new("mdir").arg("-i").arg(&file).arg("::/EFI/BOOT"));
            assert!(listed.contains("C101-57E2") && listed.contains("1980-01-01"), "{listed}");
        }
    }
}

fn partition(name: &str, number: u8, len: usize) -> Partition {
    let type_guid = if name == "esp" { TYPE_ESP } else { TYPE_LINUX_DATA };
    Partition { name: name.into(), type_guid, guid: [number; 16], source: Source::Bytes(pattern(len)) }
}

#[test]
fn sgdisk_reads_the_table() {
    let directory = tempfile::tempdir().unwrap();
    let (file, engine) = (directory.path().join("disk"), directory.path().join("engine"));
    fs::write(&engine, pattern(3 * MIB)).unwrap();
    let mut partitions = vec![
        partition("esp", 1, MIB),
        partition("root", 2, 4096),
        partition("engine", 3, 1),
        partition("model", 4, 7777),
    ];
    partitions[2].source = Source::File(engine);
    let guid = *b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff";
    let mut disk = Vec::new();
    assert_eq!(write(guid, &partitions, &mut disk).unwrap(), u64::try_from(8 * MIB).unwrap());
    assert_eq!(disk.len(), 8 * MIB);
    for (at, len) in [(1, MIB), (2, 4096), (3, 3 * MIB), (6, 7777)] {
        assert!(disk[at * MIB..][..len] == pattern(len), "contents at {at} MiB");
    }
    let mut again = Vec::new();
    write(guid, &partitions, &mut again).unwrap();
    assert!(disk == again, "twice the same bytes");
    if !have("sgdisk", "gdisk") {
        return;
    }
    fs::write(&file, &disk).unwrap();
    let verified = run(Command::new("sgdisk").arg("-v").arg(&file));
    assert!(verified.contains("No problems found"), "{verified}");
    let printed = run(Command::new("sgdisk").arg("-p").arg(&file));
    assert!(printed.contains("00112233-4455-6677-8899-AABBCCDDEEFF"), "{printed}");
    for (number, name, code) in
        [("1", "esp", "EF00"), ("2", "root", "8300"), ("3", "engine", "8300"), ("4", "model", "8300")]
    {
        let line = |line: &&str| line.trim_start().starts_with(number) && line.ends_with(name) && line.contains(code);
        assert!(printed.lines().any(|text| line(&text)), "{name}: {printed}");
    }
    // The second table alone is enough.
    disk[512..34 * 512].fill(0);
    fs::write(&file, &disk).unwrap();
    let printed = run(Command::new("sgdisk").arg("-p").arg(&file));
    assert!(printed.contains("model"), "{printed}");
}

#[test]
fn what_makes_no_table_is_refused() {
    let refused = |partitions: &[Partition]| write([9; 16], partitions, &mut std::io::sink()).unwrap_err();
    assert!(matches!(refused(&[]), GptError::Count { got: 0 }));
    let many: Vec<_> = (0..129).map(|number| partition(&number.to_string(), number, 1)).collect();
    assert!(matches!(refused(&many), GptError::Count { got: 129 }));
    assert!(matches!(refused(&[partition("", 1, 1)]), GptError::Name { .. }));
    assert!(matches!(refused(&[partition(&"n".repeat(37), 1, 1)]), GptError::Name { .. }));
    assert!(matches!(refused(&[partition("root", 1, 1), partition("root", 2, 1)]), GptError::Name { .. }));
    assert!(matches!(refused(&[partition("root", 1, 1), partition("model", 1, 1)]), GptError::Guid { .. }));
    assert!(matches!(refused(&[partition("root", 9, 1)]), GptError::Guid { .. }), "the disk's own");
    assert!(matches!(refused(&[partition("root", 0, 1)]), GptError::Guid { .. }));
    assert!(matches!(refused(&[partition("root", 1, 0)]), GptError::Empty { .. }));
    let absent = Partition { source: Source::File("/no/such/file".into()), ..partition("root", 1, 1) };
    assert!(matches!(refused(&[absent]), GptError::Content(_)));
}
