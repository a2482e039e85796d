#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use attestation::reference::ImageMode;
use attestation::reference::manifest::{
    Artifact, MANIFEST_SCHEMA, ManifestFirmware, ManifestKernel, ManifestSource, PCR_BANK, RTMR0_REPLAY,
    TdxMeasurements, VtpmMeasurements,
};

use super::*;

/// What `sev-snp-measure` and `sev` compute for the vectors, one virtual CPU of EPYC-v4.
const DIGEST_1: &str =
    "3ea8e12cb320c77b2246aff23963180d9c87459b08e3c5917ec8b19961d7aa02e53e619bb8a3f36cbd99576f7a84337b";
/// The same for four.
const DIGEST_4: &str =
    "e7390dc5dd9ba900126418d507d46116a0c93037beb979d13c6632417fa188896fb21b629719ed12e098907973d17d82";
/// What an independent program computes for Debian's OVMF.
const MRTD_SINGLE_PASS: &str =
    "4c7206f0f483c524f12c366c711e9049030a8d47c471ee5aa9c4999a08de4057fb887fed0744d5631a212967fb231c47";
/// The same, in the order of older hypervisors.
const MRTD_TWO_PASS: &str =
    "acccbcc870a381adab0d3919d90a7f268ac3b0364771f202ed4bb4e892d045b33db3b32e6924cba830a724eed443f7e1";
/// What an independent program computes for [`uki`]: the values of `attestation`'s own tests.
const PCRS: [&str; 3] = [
    "1dbc3e8c04c0462d4a874971e2971ba4b82d30aca05303d6076321f4ff781f5c",
    "801ae9fd291c09b159cfa0af3db35e54a6e2b9d012d5ee3f4d56bcad1f07cabc",
    "17702a4749dad9ddfe1a3ed0e8e52e66f3a63c8a20b48f8926402655dc51579b",
];
const RTMR1: &str = "9ab3bbf36cd0d8d2a4f9e1dc61638e4b0f9c37a560ae0b0bca1852bbef17298f69ca4b4d07b66f56228375977502a1ca";
const RTMR2: &str = "3f1c07a275c5fe4c6d5e5e1de919129eb906656f2ad89baedce2473549b7645558fea42b6878b4fbdf9b36513595efc1";
const CMDLINE: &str = "console=ttyS0 root=/dev/vda1";

/// A PE image of these sections, followed by certificates.
fn pe(sections: &[(&str, &[u8])], certificates: &[u8]) -> Vec<u8> {
    let word = |value: usize| u32::try_from(value).unwrap().to_le_bytes();
    let count = u16::try_from(sections.len()).unwrap().to_le_bytes();
    let mut fields: Vec<(usize, Vec<u8>)> = [(0, &b"MZ"[..]), (0x40, b"PE"), (0x44, &[0x64, 0x86]), (0x46, &count)]
        .map(|(at, bytes)| (at, bytes.to_vec()))
        .into();
    fields.extend([(0x54, [240, 0]), (0x56, [0x2e, 2]), (0x58, [0x0b, 2])].map(|(at, bytes)| (at, bytes.to_vec())));
    let words = [(0x3c, 0x40), (0x78, 0x1000), (0x7c, 0x200), (0x94, 0x400), (0x98, 0x1122_3344), (0xc4, 16)];
    fields.extend(words.map(|(at, value)| (at, word(value).to_vec())));
    let (mut body, mut address) = (Vec::new(), 0x1000_usize);
    for (index, (name, data)) in sections.iter().enumerate() {
        let at = 0x148 + 40 * index;
        fields.push((at, name.as_bytes().to_vec()));
        let place = [data.len(), address, data.len().next_multiple_of(0x200), 0x400 + body.len()];
        fields.push((at + 8, place.map(word).concat()));
        fields.push((at + 36, word(0x4000_0040).to_vec()));
        body.extend_from_slice(data);
        body.resize(body.len().next_multiple_of(0x200), 0);
        address += data.len().next_multiple_of(0x1000);
    }
    if !certificates.is_empty() {
        fields.push((0xe8, [0x400 + body.len(), certificates.len()].map(word).concat()));
    }
    let mut image = vec![0; 0x400];
    for (at, bytes) in fields {
        image[at..at + bytes.len()].copy_from_slice(&bytes);
    }
    [image.as_slice(), &body, certificates].concat()
}

/// The unified kernel image that `attestation` is tested with.
fn uki() -> Vec<u8> {
    let code: Vec<u8> = (0..700_u32).map(|index| u8::try_from(index % 251).unwrap()).collect();
    let kernel = pe(&[(".text", &code)], &b"CERT".repeat(4));
    let sections: [(&str, &[u8]); 7] = [
        (".text", b"stub"),
        (".sbat", b"sbat,1\n"),
        (".osrel", b"ID=test\n"),
        (".cmdline", b"console=ttyS0 panic=-1"),
        (".uname", b"6.12.0"),
        (".linux", &kernel),
        (".initrd", b"initrd of 15 by"),
    ];
    pe(&sections, &[])
}

/// An image directory made of the public vectors.
fn image() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/measurement/snp");
    for (from, to) in [
        ("kernel.bin", "vmlinuz"),
        ("initrd.bin", "initrd.cpio"),
        ("ovmf_AmdSev_suffix.bin", FIRMWARE_SNP),
        ("OVMF_debian12_2022.11-6+deb12u2.fd", FIRMWARE_TDX),
    ] {
        fs::copy(vectors.join(from), dir.path().join(to)).unwrap();
    }
    fs::write(dir.path().join("cmdline"), format!("{CMDLINE}\n")).unwrap();
    fs::write(dir.path().join("uki.efi"), uki()).unwrap();
    let manifest = manifest(dir.path());
    fs::write(dir.path().join("manifest.json"), manifest.to_json().unwrap()).unwrap();
    dir
}

fn manifest(dir: &Path) -> ImageManifest {
    let digest = |name: &str| digest_of(&dir.join(name)).unwrap();
    let artifact = |name: &str| {
        let (sha256, size) = digest(name);
        (name.to_owned(), Artifact { sha256: sha256.parse().unwrap(), size })
    };
    let pin = |name: &str| FirmwarePin {
        package: "ovmf".to_owned(),
        version: "1".to_owned(),
        sha256: digest(name).0.parse().unwrap(),
        enforces_kernel_hashes: false,
    };
    ImageManifest {
        schema: MANIFEST_SCHEMA.to_owned(),
        flavour: "test".to_owned(),
        version: "1.0.0".to_owned(),
        mode: ImageMode::Test,
        artifacts: ["vmlinuz", "initrd.cpio", "uki.efi"].map(artifact).into(),
        volumes: Vec::new(),
        cmdline: CMDLINE.to_owned(),
        firmware: ManifestFirmware { amdsev: pin(FIRMWARE_SNP), tdx: pin(FIRMWARE_TDX) },
        kernel: ManifestKernel {
            version: "6.12".to_owned(),
            config_sha256: digest("vmlinuz").0.parse().unwrap(),
            patches: BTreeMap::new(),
        },
        guardian_config_sha256: digest("vmlinuz").0.parse().unwrap(),
        image_config_sha256: digest("vmlinuz").0.parse().unwrap(),
        model: None,
        snp: vec![SnpLaunch {
            vcpus: 1,
            cpu: "EPYC-v4".to_owned(),
            guest_features: 1,
            vmm: "qemu".to_owned(),
            launch_digest: DIGEST_1.parse().unwrap(),
        }],
        tdx: Some(TdxMeasurements {
            mrtd_single_pass: MRTD_SINGLE_PASS.parse().unwrap(),
            mrtd_two_pass: MRTD_TWO_PASS.parse().unwrap(),
            rtmr1: RTMR1.parse().unwrap(),
            rtmr2: RTMR2.parse().unwrap(),
            rtmr0: RTMR0_REPLAY.to_owned(),
        }),
        vtpm: Some(VtpmMeasurements {
            pcr4: PCRS[0].parse().unwrap(),
            pcr9: PCRS[1].parse().unwrap(),
            pcr11: PCRS[2].parse().unwrap(),
            bank: PCR_BANK.to_owned(),
        }),
        status: BTreeMap::new(),
        source: ManifestSource {
            git_commit: "0".repeat(40),
            rustc: "rustc 1.95.0".to_owned(),
            source_date_epoch: 0,
            tools: BTreeMap::new(),
        },
        locks: BTreeMap::new(),
    }
}

fn verdicts(dir: &Path, launch: Option<(u32, &str)>) -> Vec<Row> {
    let (vcpus, cpu) = launch.map(|(vcpus, cpu)| (vcpus, cpu.to_owned())).unzip();
    rows(&Args { image: dir.to_owned(), vcpus, cpu, json: false }).unwrap()
}

fn differing(rows: &[Row]) -> Vec<&str> {
    rows.iter().filter(|row| row.verdict == Verdict::Differs).map(|row| row.item.as_str()).collect()
}

#[test]
fn a_whole_image_equals_its_manifest() {
    let dir = image();
    let rows = verdicts(dir.path(), None);
    assert_eq!(differing(&rows), Vec::<&str>::new());
    assert!(rows.iter().any(|row| row.computed == DIGEST_1 && row.verdict == Verdict::Equal));
    let equal =
        |what: &str| rows.iter().filter(|row| row.item.starts_with(what) && row.verdict == Verdict::Equal).count();
    assert_eq!((equal("tdx "), equal("vtpm ")), (4, 3));
}

#[test]
fn another_launch_is_computed_and_found_in_the_manifest_or_not() {
    let dir = image();
    let verdict = |launch, digest: &str| {
        verdicts(dir.path(), Some(launch)).iter().find(|row| row.computed == digest).map(|row| row.verdict)
    };
    assert_eq!(verdict((1, "EPYC-v4"), DIGEST_1), Some(Verdict::Equal));
    assert_eq!(verdict((4, "EPYC-v4"), DIGEST_4), Some(Verdict::NotStated));
    let unknown = Args { image: dir.path().to_owned(), vcpus: Some(1), cpu: Some("EPYC-9".to_owned()), json: false };
    assert!(rows(&unknown).is_err());
}

#[test]
fn one_byte_anywhere_is_named() {
    let spoilt = |file: &str, item: &str| {
        let dir = image();
        let path = dir.path().join(file);
        let mut bytes = fs::read(&path).unwrap();
        // In the middle of a letter or of code, never at the line end.
        if let Some(byte) = bytes.get_mut(3) {
            *byte ^= 1;
        }
        fs::write(path, bytes).unwrap();
        let rows = verdicts(dir.path(), None);
        let differing = differing(&rows);
        assert!(differing.iter().any(|name| name.starts_with(item)), "{file}: {differing:?}");
        differing.len()
    };
    assert_eq!(spoilt("vmlinuz", "vmlinuz"), 2);
    assert_eq!(spoilt("initrd.cpio", "initrd.cpio"), 2);
    assert_eq!(spoilt("cmdline", "cmdline"), 2);
    assert_eq!(spoilt("uki.efi", "uki.efi"), 3, "the file, PCR 4 and RTMR1, which cover its headers");
    assert_eq!(spoilt(FIRMWARE_SNP, "firmware OVMF.amdsev.fd"), 2, "the pin, and the launch digest");
    assert_eq!(
        spoilt(FIRMWARE_TDX, "firmware OVMF.inteltdx.fd"),
        1,
        "the variable store is not in MRTD; the pin has it"
    );
}

#[test]
fn an_incomplete_directory_is_refused() {
    for missing in ["manifest.json", "vmlinuz", "cmdline", FIRMWARE_TDX] {
        let dir = image();
        fs::remove_file(dir.path().join(missing)).unwrap();
        let error = rows(&Args { image: dir.path().to_owned(), vcpus: None, cpu: None, json: false }).unwrap_err();
        assert!(error.to_string().contains(missing), "{error:#}");
    }
}
