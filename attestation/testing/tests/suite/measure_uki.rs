//! Authenticode digests and predicted boots of unified kernel images, against values an independent script computed from the
//! same bytes; that script's values were compared with PCRs a guest read from its TPM. And what happens to each image whose
//! layout leaves a byte to nobody.

use std::fs;

use attestation::measure::ovmf::OvmfImage;
use attestation::measure::pe::PeImage;
use attestation::measure::snp::{KernelHashes, LaunchDigestInputs, Vmm, kernel_hashes_table, launch_digest};
use attestation::measure::uki::{UkiMeasurements, predict_pcr4_from_disk, predict_uki};
use attestation::measure::{CpuModel, MeasureError};
use proptest::prelude::*;

use crate::support::vectors;

const HEADERS_LEN: usize = 0x400;
const OPTIONAL_AT: usize = 0x58;
const CERTIFICATES_AT: usize = OPTIONAL_AT + 112 + 4 * 8;
const SECTIONS_AT: usize = OPTIONAL_AT + 240;

/// A small image: headers, sections in order, certificates.
fn pe(sections: &[(&str, &[u8])], certificates: &[u8]) -> Vec<u8> {
    let mut image = vec![0; HEADERS_LEN];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3c, &0x40_u32.to_le_bytes());
    put(0x40, b"PE\0\0");
    put(0x44, &0x8664_u16.to_le_bytes());
    put(0x46, &u16::try_from(sections.len()).unwrap().to_le_bytes());
    put(0x54, &240_u16.to_le_bytes());
    put(0x56, &0x22e_u16.to_le_bytes());
    put(OPTIONAL_AT, &0x20b_u16.to_le_bytes());
    put(OPTIONAL_AT + 32, &0x1000_u32.to_le_bytes());
    put(OPTIONAL_AT + 36, &0x200_u32.to_le_bytes());
    put(OPTIONAL_AT + 60, &u32::try_from(HEADERS_LEN).unwrap().to_le_bytes());
    put(OPTIONAL_AT + 64, &0x1122_3344_u32.to_le_bytes());
    put(OPTIONAL_AT + 108, &16_u32.to_le_bytes());
    let (mut body, mut address) = (Vec::new(), 0x1000_usize);
    for (index, (name, data)) in sections.iter().enumerate() {
        let at = SECTIONS_AT + 40 * index;
        put(at, name.as_bytes());
        let fields = [data.len(), address, data.len().next_multiple_of(0x200), HEADERS_LEN + body.len()];
        for (field, value) in fields.into_iter().enumerate() {
            put(at + 8 + 4 * field, &u32::try_from(value).unwrap().to_le_bytes());
        }
        put(at + 36, &0x4000_0040_u32.to_le_bytes());
        body.extend_from_slice(data);
        body.resize(body.len().next_multiple_of(0x200), 0);
        address += data.len().next_multiple_of(0x1000);
    }
    image.extend(body);
    if !certificates.is_empty() {
        let place = [image.len(), certificates.len()].map(|value| u32::try_from(value).unwrap().to_le_bytes());
        image[CERTIFICATES_AT..CERTIFICATES_AT + 8].copy_from_slice(&place.concat());
        image.extend_from_slice(certificates);
    }
    image
}

fn kernel() -> Vec<u8> {
    let code: Vec<u8> = (0..700_u32).map(|index| u8::try_from(index % 251).unwrap()).collect();
    pe(&[(".text", &code)], &b"CERT".repeat(4))
}

const CMDLINE: &[u8] = b"console=ttyS0 panic=-1";

fn uki_with(replaced: Option<(&str, &[u8])>, added: &[(&str, &[u8])]) -> Vec<u8> {
    let kernel = kernel();
    let mut sections: Vec<(&str, &[u8])> = vec![
        (".text", b"stub"),
        (".sbat", b"sbat,1\n"),
        (".osrel", b"ID=test\n"),
        (".cmdline", CMDLINE),
        (".uname", b"6.12.0"),
        (".linux", &kernel),
        (".initrd", b"initrd of 15 by"),
    ];
    if let Some((name, data)) = replaced {
        sections.retain(|(known, _)| *known != name);
        sections.extend((!data.is_empty()).then_some((name, data)));
    }
    sections.extend_from_slice(added);
    pe(&sections, &[])
}

fn uki() -> Vec<u8> {
    uki_with(None, &[])
}

fn hex<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).unwrap();
    bytes
}

#[test]
fn authenticode_digests_are_those_of_an_independent_program() {
    let (kernel, uki) = (kernel(), uki());
    assert_eq!((kernel.len(), uki.len()), (2064, 6656));
    let digest = |bytes: &[u8]| hex::encode(PeImage::parse(bytes).unwrap().authenticode_sha256());
    assert_eq!(digest(&uki), "66fc3ebf08a2096f22c3eb1257c65f8d2af512e1185107783265da246e017f74");
    assert_eq!(digest(&kernel), "322c2c080d2e779e65bacddd422c89e8bce11b5765f4bbbe0fed3604ac70695b");
    assert_eq!(
        hex::encode(PeImage::parse(&kernel).unwrap().authenticode_sha384()),
        "23c76754d1b8992adb83995501b48107c6a3df3362cfa624e43277bf887dae3caef25cc5bce35821588c8e203245d565"
    );
}

#[test]
fn a_boot_measures_as_an_independent_program_says() {
    let expected = UkiMeasurements {
        pcr4: hex("1dbc3e8c04c0462d4a874971e2971ba4b82d30aca05303d6076321f4ff781f5c"),
        pcr9: hex("801ae9fd291c09b159cfa0af3db35e54a6e2b9d012d5ee3f4d56bcad1f07cabc"),
        pcr11: hex("17702a4749dad9ddfe1a3ed0e8e52e66f3a63c8a20b48f8926402655dc51579b"),
        rtmr1: hex("9ab3bbf36cd0d8d2a4f9e1dc61638e4b0f9c37a560ae0b0bca1852bbef17298f69ca4b4d07b66f56228375977502a1ca"),
        rtmr2: hex("3f1c07a275c5fe4c6d5e5e1de919129eb906656f2ad89baedce2473549b7645558fea42b6878b4fbdf9b36513595efc1"),
    };
    assert_eq!(predict_uki(&uki()), Ok(expected));
    assert_eq!(
        predict_pcr4_from_disk(&uki()),
        Ok(hex("9eaffc18ef225070b2609b3c4d8c11227676f970afa5503e9709a07e770ef8de"))
    );
}

/// What the digest leaves out may change, and nothing else.
#[test]
fn the_digest_covers_everything_but_checksum_and_certificates() {
    let image = kernel();
    let digest = PeImage::parse(&image).unwrap().authenticode_sha256();
    let left_out = [OPTIONAL_AT + 64..OPTIONAL_AT + 68, CERTIFICATES_AT..CERTIFICATES_AT + 8, 2048..2064];
    for at in 0..image.len() {
        let mut changed = image.clone();
        changed[at] ^= 0x80;
        match PeImage::parse(&changed) {
            Ok(parsed) => {
                let same = parsed.authenticode_sha256() == digest;
                assert_eq!(same, left_out.iter().any(|range| range.contains(&at)), "byte {at:#x}");
            }
            Err(error) => assert_eq!(error.code(), "measure.pe"),
        }
    }
}

#[test]
fn other_layouts_are_refused() {
    let with = |at: usize, value: u32| {
        let mut image = kernel();
        image[at..at + 4].copy_from_slice(&value.to_le_bytes());
        image
    };
    let raw_size = SECTIONS_AT + 16;
    let raw_at = SECTIONS_AT + 20;
    let rows: [(&str, Vec<u8>); 17] = [
        ("it does not begin with MZ", Vec::new()),
        ("it does not begin with MZ", b"ZM".to_vec()),
        ("it is cut off in its headers", b"MZ".to_vec()),
        ("its PE header overlaps its DOS header", with(0x3c, 0x3c)),
        ("it has no PE signature", with(0x40, 0)),
        ("it is not for x86-64", with(0x44, 0x0001_014c)),
        ("its number of sections is out of range", with(0x44, 0x0000_8664)),
        ("it is not PE32+", with(OPTIONAL_AT, 0x10b)),
        ("its headers are longer than the file", with(OPTIONAL_AT + 60, 0x10000)),
        ("its optional header does not fit its number of directories", with(OPTIONAL_AT + 108, 15)),
        ("its optional header does not fit its number of directories", with(OPTIONAL_AT + 108, u32::MAX)),
        ("the section table reaches beyond the headers", with(OPTIONAL_AT + 60, 0x160)),
        ("two sections, or a section and the headers, overlap", with(raw_at, 0x200)),
        ("bytes lie between sections", with(raw_at, 0x600)),
        ("a section lies outside the file", with(raw_size, 0x1_0000)),
        ("its certificates do not end the file", with(CERTIFICATES_AT + 4, 8)),
        ("its certificates overlap its sections", {
            let mut image = with(CERTIFICATES_AT, 2040);
            image[CERTIFICATES_AT + 4..CERTIFICATES_AT + 8].copy_from_slice(&24_u32.to_le_bytes());
            image
        }),
    ];
    for (detail, image) in rows {
        assert_eq!(PeImage::parse(&image).unwrap_err(), MeasureError::Pe { detail });
    }
    let (kernel, twice) = (kernel(), pe(&[(".a", b"1"), (".a", b"2")], &[]));
    assert_eq!(PeImage::parse(&kernel).unwrap().section(".text").unwrap().unwrap().data().unwrap().len(), 700);
    assert_eq!(PeImage::parse(&kernel).unwrap().section(".tex").unwrap(), None);
    let parsed = PeImage::parse(&twice).unwrap();
    assert_eq!(parsed.section(".a").unwrap_err(), MeasureError::Pe { detail: "two sections have the same name" });
}

#[test]
fn a_boot_that_is_not_predicted_is_refused() {
    let long = vec![b'a'; 2048];
    let rows: [(&'static str, &'static str, Vec<u8>); 11] = [
        (".linux", "is missing", uki_with(Some((".linux", b"")), &[])),
        (".cmdline", "is missing", uki_with(Some((".cmdline", b"")), &[])),
        (".initrd", "is missing", uki_with(Some((".initrd", b"")), &[])),
        (".cmdline", "is not printable ASCII", uki_with(Some((".cmdline", b"a\n")), &[])),
        (".cmdline", "is not printable ASCII", uki_with(Some((".cmdline", "ä".as_bytes())), &[])),
        (".cmdline", "is longer than the kernel reads", uki_with(Some((".cmdline", &long)), &[])),
        (".cmdline", "begins or ends with what the stub removes", uki_with(Some((".cmdline", b"a ")), &[])),
        (".cmdline", "begins or ends with what the stub removes", uki_with(Some((".cmdline", b"@1 a")), &[])),
        (".ucode", "is measured or used in a way that is not predicted", uki_with(None, &[(".ucode", b"u")])),
        (".pcrsig", "is measured or used in a way that is not predicted", uki_with(None, &[(".pcrsig", b"s")])),
        (".profile", "is measured or used in a way that is not predicted", uki_with(None, &[(".profile", b"p")])),
    ];
    for (section, problem, image) in rows {
        assert_eq!(predict_uki(&image), Err(MeasureError::Uki { section, problem }));
        assert_eq!(predict_pcr4_from_disk(&image), Err(MeasureError::Uki { section, problem }));
    }
    assert_eq!(predict_uki(&uki_with(Some((".linux", b"no PE")), &[])).unwrap_err().code(), "measure.pe");
    assert_eq!(predict_uki(&uki_with(None, &[(".initrd", b"2")])).unwrap_err().code(), "measure.pe");
    // More memory than file: the stub would measure zeros.
    let mut image = uki();
    let initrd = SECTIONS_AT + 6 * 40 + 8;
    image[initrd..initrd + 4].copy_from_slice(&0x300_u32.to_le_bytes());
    assert_eq!(predict_uki(&image).unwrap_err().code(), "measure.uki");
}

/// Every part is in some value: another command line, ramdisk, kernel or name changes what it should and nothing else.
#[test]
fn each_part_changes_its_registers() {
    let before = predict_uki(&uki()).unwrap();
    let kernel = pe(&[(".text", b"another")], &[]);
    for (part, in_pcr9) in [
        ((".cmdline", b"console=ttyS0 panic=-2".as_slice()), true),
        ((".initrd", b"initrd of 15 bz"), true),
        ((".osrel", b"ID=other"), true),
        ((".uname", b"6.12.1"), false),
        ((".sbat", b"sbat,2\n"), false),
        ((".linux", &kernel), false),
    ] {
        let after = predict_uki(&uki_with(Some(part), &[])).unwrap();
        assert_ne!(after.pcr4, before.pcr4, "{}", part.0);
        assert_ne!(after.pcr11, before.pcr11, "{}", part.0);
        assert_ne!(after.rtmr1, before.rtmr1, "{}", part.0);
        assert_ne!(after.rtmr2, before.rtmr2, "{}", part.0);
        assert_eq!(after.pcr9 != before.pcr9, in_pcr9, "{}", part.0);
    }
}

/// The table that is injected where no SNP is, is the one the launch digest covers: at its address, and zero around it.
#[test]
fn the_injected_table_is_the_measured_one() {
    let firmware = fs::read(vectors().join("measurement/snp/ovmf_AmdSev_suffix.bin")).unwrap();
    let hashes = KernelHashes::of(b"kernel", Some(b"initrd"), "console=ttyS0").unwrap();
    let table = kernel_hashes_table(&firmware, &hashes).unwrap();
    let area = OvmfImage::parse(&firmware).unwrap().hash_table_area().unwrap().unwrap();
    assert_eq!(table.gpa, area.gpa);
    let position = |hash: &[u8; 32]| table.bytes.windows(32).position(|window| window == hash);
    // Table header of 18 bytes, then entries of 18 and 32: command line, ramdisk, kernel.
    assert_eq!(
        [&hashes.cmdline, &hashes.initrd, &hashes.kernel].map(position),
        [Some(36), Some(36 + 50), Some(36 + 100)]
    );
    assert_eq!(u16::from_le_bytes([table.bytes[16], table.bytes[17]]), 168);
    assert_eq!(table.bytes[168..], [0; 8]);
    let inputs = |kernel| LaunchDigestInputs {
        firmware: &firmware,
        kernel: Some(kernel),
        vcpus: 1,
        cpu: CpuModel::from_name("EPYC-v4").unwrap(),
        vmm: Vmm::Qemu,
        guest_features: 1,
    };
    let other = KernelHashes::of(b"kernel", Some(b"initrd"), "console=ttyS1").unwrap();
    assert_ne!(launch_digest(&inputs(hashes)), launch_digest(&inputs(other)));
    let generic = fs::read(vectors().join("measurement/snp/OVMF_debian12_2022.11-6+deb12u2.fd"));
    if let Ok(generic) = generic {
        assert_eq!(kernel_hashes_table(&generic, &hashes).unwrap_err().code(), "measure.kernel_hashes_section");
    }
}

proptest! {
    #[test]
    fn parsing_is_total(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
        let _ = PeImage::parse(&bytes);
        let _ = predict_uki(&bytes);
    }

    #[test]
    fn parsing_a_damaged_image_is_total(at in 0_usize..0x400, value in any::<u32>()) {
        let mut image = uki();
        let at = at.min(0x3fc);
        image[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let _ = predict_uki(&image);
    }
}
