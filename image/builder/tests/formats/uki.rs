use std::path::PathBuf;

use image_builder::pe::{NewSection, PeError, add_sections, is_nx_compatible};
use image_builder::uki::{UkiError, UkiParts, build};

use crate::support::pattern;

/// Where builds keep the stub, when there was one.
const STUB: &str = "usr/lib/systemd/boot/efi/linuxx64.efi.stub";

/// The smallest file that is one: a code section at 0x1000, at 0x400 in the file.
fn tiny_pe() -> Vec<u8> {
    let mut file = vec![0; 0x600];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3c, &0x80_u32.to_le_bytes());
    put(0x80, b"PE\0\0\x64\x86\x01\0\x11\x22\x33\x44");
    put(0x84 + 16, &240_u16.to_le_bytes());
    let optional = 0x98;
    put(optional, &0x20b_u16.to_le_bytes());
    put(optional + 8, &100_u32.to_le_bytes());
    put(optional + 32, &0x1000_u32.to_le_bytes());
    put(optional + 36, &0x200_u32.to_le_bytes());
    put(optional + 56, &0x2000_u32.to_le_bytes());
    put(optional + 60, &0x400_u32.to_le_bytes());
    put(optional + 64, &7_u32.to_le_bytes());
    put(optional + 70, &0x160_u16.to_le_bytes());
    put(optional + 108, &16_u32.to_le_bytes());
    let section = optional + 240;
    put(section, b".text");
    for (offset, value) in [(8, 0x123_u32), (12, 0x1000), (16, 0x200), (20, 0x400), (36, 0x6000_0020)] {
        put(section + offset, &value.to_le_bytes());
    }
    file
}

fn u32_at(file: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(file[at..at + 4].try_into().unwrap())
}

/// Name, virtual size, address and contents of every section.
fn sections(file: &[u8]) -> Vec<(String, u32, u32, Vec<u8>)> {
    let pe = usize::try_from(u32_at(file, 0x3c)).unwrap();
    let count = usize::from(u16::from_le_bytes([file[pe + 6], file[pe + 7]]));
    let table = pe + 24 + usize::from(u16::from_le_bytes([file[pe + 20], file[pe + 21]]));
    let one = |at: usize| {
        let name = String::from_utf8_lossy(&file[at..at + 8]).trim_end_matches('\0').to_owned();
        let [len, address, raw, offset] = [8, 12, 16, 20].map(|field| u32_at(file, at + field));
        let end = usize::try_from(offset + raw.min(len)).unwrap();
        (name, len, address, file[usize::try_from(offset).unwrap()..end].to_vec())
    };
    (0..count).map(|index| one(table + index * 40)).collect()
}

fn parts<'a>(stub: &'a [u8], linux: &'a [u8], initrd: &'a [u8]) -> UkiParts<'a> {
    UkiParts { stub, linux, initrd, cmdline: "console=ttyS0 quiet", osrel: "ID=cloister\n", uname: "6.12.1" }
}

fn holds_its_parts(stub: &[u8]) {
    let (linux, initrd) = (tiny_pe(), pattern(5000));
    let uki = build(parts(stub, &linux, &initrd)).unwrap();
    assert_eq!(uki, build(parts(stub, &linux, &initrd)).unwrap());
    let (before, after) = (sections(stub), sections(&uki));
    assert_eq!(after[..before.len()], before);
    let added: Vec<_> =
        after[before.len()..].iter().map(|(name, .., bytes)| (name.as_str(), bytes.as_slice())).collect();
    let expected: [(&str, &[u8]); 5] = [
        (".osrel", b"ID=cloister\n"),
        (".cmdline", b"console=ttyS0 quiet"),
        (".uname", b"6.12.1"),
        (".linux", &linux),
        (".initrd", &initrd),
    ];
    assert_eq!(added, expected);
    for pair in after.windows(2) {
        let ((_, len, address, _), (_, _, next, _)) = (&pair[0], &pair[1]);
        assert!(next % 0x1000 == 0 && address + len <= *next, "{pair:?}");
    }
    let pe = usize::try_from(u32_at(&uki, 0x3c)).unwrap();
    let (_, len, address, _) = after.last().unwrap();
    assert_eq!(u32_at(&uki, pe + 24 + 56), (address + len).next_multiple_of(0x1000));
    assert_eq!((u32_at(&uki, pe + 8), u32_at(&uki, pe + 24 + 64)), (0, 0), "time stamp and checksum");
}

#[test]
fn a_uki_holds_its_parts() {
    holds_its_parts(&tiny_pe());
}

#[test]
fn a_uki_of_the_real_stub_holds_its_parts() {
    let roots = ["/", "../../target/image/stub"].map(PathBuf::from);
    match roots.iter().map(|root| root.join(STUB)).find(|path| path.is_file()) {
        Some(path) => holds_its_parts(&std::fs::read(path).unwrap()),
        None => println!("SKIP: no {STUB} here (apt-get install systemd-boot-efi)"),
    }
}

#[test]
fn a_kernel_that_is_not_nx_compatible_makes_the_stub_not_so() {
    let (stub, mut linux) = (tiny_pe(), tiny_pe());
    assert!(is_nx_compatible(&build(parts(&stub, &linux, b"i")).unwrap()).unwrap());
    linux[0x98 + 71] = 0;
    assert!(!is_nx_compatible(&build(parts(&stub, &linux, b"i")).unwrap()).unwrap());
}

#[test]
fn other_parts_are_refused() {
    let pe = tiny_pe();
    let refused = |parts: UkiParts<'_>| build(parts).unwrap_err();
    assert_eq!(refused(parts(&pe, b"MZ", b"i")), UkiError::Kernel(PeError::Truncated));
    assert_eq!(refused(parts(&pe, &pe, b"")), UkiError::Stub(PeError::Empty { name: ".initrd".into() }));
    for cmdline in ["a\0b", "a\tb", "é", &"c".repeat(2048)] {
        assert!(matches!(refused(UkiParts { cmdline, ..parts(&pe, &pe, b"i") }), UkiError::Text { .. }), "{cmdline:?}");
    }
    let uki = build(parts(&pe, &pe, b"i")).unwrap();
    assert_eq!(refused(parts(&uki, &pe, b"i")), UkiError::Stub(PeError::Duplicate { name: ".osrel".into() }));
}

#[test]
fn other_files_are_refused() {
    let new = [NewSection { name: ".new", bytes: b"new", code: false }];
    let changed = |at: usize, byte: u8| {
        let mut file = tiny_pe();
        file[at] = byte;
        add_sections(&file, &new).unwrap_err()
    };
    assert_eq!(changed(0, b'N'), PeError::Kind);
    assert_eq!(changed(0x80, b'N'), PeError::Kind);
    assert_eq!(changed(0x98, 0x0a), PeError::Kind, "32 bits");
    assert_eq!(changed(0x98 + 112 + 36, 1), PeError::Signed);
    assert_eq!(changed(0x98 + 33, 0x30), PeError::Alignment { got: 0x3000 });
    assert!(matches!(changed(0x86, 200), PeError::NoRoom { .. } | PeError::Truncated | PeError::TooLarge));
    let file = tiny_pe();
    for end in 0..0x98 + 240 + 40 {
        assert!(add_sections(&file[..end], &new).is_err(), "{end}");
    }
    let many: Vec<_> = (0..16).map(|number| format!(".s{number}")).collect();
    let many: Vec<_> = many.iter().map(|name| NewSection { name, ..new[0] }).collect();
    assert_eq!(add_sections(&file, &many).unwrap_err(), PeError::NoRoom { got: 17 });
    for name in ["", ".too_long"] {
        assert!(matches!(add_sections(&file, &[NewSection { name, ..new[0] }]), Err(PeError::Name { .. })));
    }
}
