//! Expected measurements: every digest two public programs computed, the MRTD of a real image in both page orders, and
//! what happens to each input that is changed by one byte, one field or one page.

use std::fs;

use attestation::measure::eventlog::EventLogError;
use attestation::measure::ovmf::{OvmfImage, SevSectionKind, TdvfSectionKind};
use attestation::measure::snp::{KernelHashes, LaunchDigestInputs, VCPUS_MAX, Vmm, launch_digest};
use attestation::measure::tdx::{PageAddOrder, mrtd};
use attestation::measure::{CpuModel, MeasureError, rtmr};
use proptest::prelude::*;
use serde::Deserialize;

use crate::support::vectors;

const DEBIAN: &str = "OVMF_debian12_2022.11-6+deb12u2.fd";
const AMD_SEV: &str = "ovmf_AmdSev_suffix.bin";
const OVMF_X64: &str = "ovmf_OvmfX64_suffix.bin";

/// One digest of `expected.json` or `cross-check.json`.
#[derive(Deserialize)]
struct Row {
    ovmf: String,
    vcpus: u32,
    vcpu_type: String,
    guest_features: u64,
    vmm: String,
    kernel: Option<String>,
    initrd: Option<String>,
    append: Option<String>,
    #[serde(alias = "expected")]
    sev_snp_measure: Option<String>,
    sev_crate: Option<String>,
}

impl Row {
    fn digest(&self, vmm: Vmm) -> Result<String, MeasureError> {
        let kernel = self.kernel.as_ref().map(|kernel| {
            let initrd = self.initrd.as_ref().map(|name| file(name));
            let cmdline = self.append.as_deref().unwrap_or_default();
            KernelHashes::of(&file(kernel), initrd.as_deref(), cmdline).unwrap()
        });
        launch_digest(&LaunchDigestInputs {
            firmware: &file(&self.ovmf),
            kernel,
            vcpus: self.vcpus,
            cpu: CpuModel::from_name(&self.vcpu_type).unwrap(),
            vmm,
            guest_features: self.guest_features,
        })
        .map(hex::encode)
    }
}

fn file(name: &str) -> Vec<u8> {
    fs::read(vectors().join("measurement/snp").join(name)).unwrap()
}

fn rows(name: &str) -> Vec<Row> {
    serde_json::from_slice(&file(name)).unwrap()
}

/// A launch of the direct-boot suffix image; tests change one thing of it.
fn launch(firmware: &[u8]) -> LaunchDigestInputs<'_> {
    LaunchDigestInputs {
        firmware,
        kernel: Some(KernelHashes::of(b"kernel", Some(b"initrd"), "quiet").unwrap()),
        vcpus: 2,
        cpu: CpuModel::from_name("EPYC-Milan").unwrap(),
        vmm: Vmm::Qemu,
        guest_features: 1,
    }
}

fn code(inputs: &LaunchDigestInputs<'_>) -> &'static str {
    launch_digest(inputs).unwrap_err().code()
}

/// Where the last occurrence of `pattern` starts.
fn find(bytes: &[u8], pattern: &[u8]) -> usize {
    bytes.windows(pattern.len()).rposition(|window| window == pattern).unwrap()
}

#[test]
fn every_published_digest_is_reproduced() {
    let rows = rows("expected.json");
    assert_eq!(rows.len(), 16);
    for row in &rows {
        let expected = row.sev_snp_measure.clone().unwrap();
        let got = row.digest(Vmm::from_name(&row.vmm).unwrap());
        if expected.starts_with("ERR") {
            // Both programs refuse a kernel for firmware that cannot take its hashes, and so does this library.
            assert_eq!(got.unwrap_err().code(), "measure.kernel_hashes_section");
        } else {
            assert_eq!(got.unwrap(), expected, "{} {} {}", row.ovmf, row.vmm, row.vcpus);
        }
    }
}

#[test]
fn where_the_two_programs_disagree_on_ec2_both_values_can_be_asked_for() {
    let all = rows("expected.json").into_iter().chain(rows("cross-check.json"));
    let mut seen = 0;
    for row in all.filter(|row| row.vmm == "ec2") {
        assert_ne!(row.sev_snp_measure, row.sev_crate);
        assert_eq!(Some(row.digest(Vmm::Ec2).unwrap()), row.sev_snp_measure);
        assert_eq!(Some(row.digest(Vmm::Ec2RdxZero).unwrap()), row.sev_crate);
        seen += 1;
    }
    assert_eq!(seen, 9);
}

#[test]
fn every_monitor_and_cpu_model_matches_the_program_that_knows_it() {
    let rows = rows("cross-check.json");
    assert_eq!(rows.len(), 48);
    for row in &rows {
        let got = Some(row.digest(Vmm::from_name(&row.vmm).unwrap()).unwrap());
        match row.vmm.as_str() {
            "qemu" => assert!(got == row.sev_snp_measure && got == row.sev_crate, "{} {}", row.vcpu_type, row.vcpus),
            "ec2" | "gce" => assert_eq!(got, row.sev_snp_measure, "{} {}", row.vmm, row.vcpus),
            "krun" => assert_eq!(got, row.sev_crate, "krun {}", row.vcpus),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn every_input_of_a_launch_changes_its_digest() {
    let firmware = file(AMD_SEV);
    let base = launch(&firmware);
    let hashes = base.kernel.unwrap();
    let kernel = |kernel: KernelHashes| LaunchDigestInputs { kernel: Some(kernel), ..base };
    let changed = [
        base,
        LaunchDigestInputs { kernel: None, ..base },
        kernel(KernelHashes { kernel: [0; 32], ..hashes }),
        kernel(KernelHashes { initrd: [0; 32], ..hashes }),
        kernel(KernelHashes { cmdline: [0; 32], ..hashes }),
        LaunchDigestInputs { vcpus: 1, ..base },
        LaunchDigestInputs { vcpus: 3, ..base },
        LaunchDigestInputs { cpu: CpuModel::from_name("EPYC-Genoa").unwrap(), ..base },
        LaunchDigestInputs { guest_features: 0x21, ..base },
        LaunchDigestInputs { vmm: Vmm::Ec2, ..base },
        LaunchDigestInputs { vmm: Vmm::Ec2RdxZero, ..base },
        LaunchDigestInputs { vmm: Vmm::Gce, ..base },
        LaunchDigestInputs { vmm: Vmm::Krun, ..base },
    ];
    let mut digests: Vec<_> = changed.iter().map(|inputs| launch_digest(inputs).unwrap()).collect();
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), changed.len());
}

#[test]
fn an_absent_initrd_is_an_empty_one_and_an_empty_command_line_is_its_terminator() {
    assert_eq!(KernelHashes::of(b"k", None, "").unwrap(), KernelHashes::of(b"k", Some(b""), "").unwrap());
    let of_zero = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
    assert_eq!(hex::encode(KernelHashes::of(b"k", None, "").unwrap().cmdline), of_zero);
    assert_eq!(KernelHashes::of(b"k", None, "a\0b").unwrap_err().code(), "measure.command_line");
}

#[test]
fn impossible_launches_are_refused_by_name() {
    let firmware = file(AMD_SEV);
    let base = launch(&firmware);
    assert_eq!(code(&LaunchDigestInputs { vcpus: 0, ..base }), "measure.vcpu_count");
    assert_eq!(code(&LaunchDigestInputs { vcpus: VCPUS_MAX + 1, ..base }), "measure.vcpu_count");
    assert!(launch_digest(&LaunchDigestInputs { vcpus: VCPUS_MAX, ..base }).is_ok());
    assert_eq!(code(&LaunchDigestInputs { guest_features: 0x20, ..base }), "measure.guest_features");
    let no_hashes = file(OVMF_X64);
    assert_eq!(code(&LaunchDigestInputs { firmware: &no_hashes, ..base }), "measure.kernel_hashes_section");
    assert!(launch_digest(&LaunchDigestInputs { firmware: &no_hashes, kernel: None, ..base }).is_ok());
    for firmware in [&[][..], &[0; 4095], &[0; 4097]] {
        assert_eq!(code(&LaunchDigestInputs { firmware, ..base }), "measure.firmware_size");
    }
    assert_eq!(code(&LaunchDigestInputs { firmware: &[0; 4096], ..base }), "measure.footer_missing");
    for name in ["", "EPYC-Naples", "epyc-milan", "EPYC-Milan "] {
        assert_eq!(CpuModel::from_name(name).unwrap_err().code(), "measure.cpu_model");
    }
    assert_eq!(Vmm::from_name("xen").unwrap_err().code(), "measure.vmm");
}

#[test]
fn spoiled_firmware_tables_are_refused_by_name() {
    let firmware = file(AMD_SEV);
    let descriptor = find(&firmware, b"ASEV");
    let footer = firmware.len() - 32 - 18;
    let reset = find(&firmware, &hex::decode("de71f7007e1acb4f890e68c77e2fb44e").unwrap());
    let hash_table = find(&firmware, &hex::decode("1f3755723b3a044b927b1da6efa8d454").unwrap());
    let spoilt: [(usize, &[u8], &str); 14] = [
        (footer, &[0xff, 0xff], "measure.footer_malformed"),
        (footer, &[17, 0], "measure.footer_malformed"),
        (footer + 2, &[0], "measure.footer_missing"),
        (reset, &[0], "measure.entry_missing"),
        (reset - 2, &[17, 0], "measure.footer_malformed"),
        (reset - 6, &[0; 4], "measure.reset_vector"),
        (hash_table, &[0], "measure.entry_missing"),
        (hash_table - 10, &[0xff; 4], "measure.kernel_hashes_table"),
        (hash_table - 6, &[175, 0, 0, 0], "measure.kernel_hashes_table"),
        (descriptor, b"BSEV", "measure.sev_metadata"),
        (descriptor + 4, &[0; 4], "measure.sev_metadata"),
        (descriptor + 8, &[2], "measure.sev_metadata"),
        (descriptor + 12, &[0xff; 4], "measure.sev_metadata"),
        (descriptor + 16 + 8, &[9], "measure.sev_metadata"),
    ];
    for (offset, bytes, expected) in spoilt {
        let mut changed = firmware.clone();
        changed[offset..offset + bytes.len()].copy_from_slice(bytes);
        assert_eq!(code(&launch(&changed)), expected, "at {offset:#x}");
    }
    let mut huge = firmware.clone();
    huge[descriptor + 20..descriptor + 24].copy_from_slice(&0x7fff_f000_u32.to_le_bytes());
    assert_eq!(code(&launch(&huge)), "measure.too_many_pages");
}

#[test]
fn no_byte_of_the_tables_can_change_without_changing_the_digest() {
    let firmware = file(AMD_SEV);
    let expected = launch_digest(&launch(&firmware)).unwrap();
    for offset in 0..firmware.len() {
        let mut changed = firmware.clone();
        changed[offset] ^= 0x81;
        let base = launch(&changed);
        // One CPU keeps the test fast; the bytes are measured either way.
        assert_ne!(launch_digest(&base), Ok(expected), "byte {offset:#x}");
    }
}

#[test]
fn every_truncation_of_an_image_is_refused() {
    let tail = file(AMD_SEV);
    for length in 0..tail.len() {
        assert_eq!(code(&launch(&tail[..length])), "measure.firmware_size");
    }
    let firmware = file(DEBIAN);
    for pages in 1..firmware.len() / 4096 {
        let (head, tail) = firmware.split_at(pages * 4096);
        assert_eq!(code(&launch(head)), "measure.footer_missing", "{pages}");
        assert!(mrtd(head, PageAddOrder::TwoPass).is_err());
        // Without its head an image still has its tables, but they name data that is gone.
        let refused = mrtd(tail, PageAddOrder::TwoPass).unwrap_err();
        assert_eq!(refused.code(), "measure.tdvf_metadata", "{pages}");
    }
}

#[test]
fn both_page_orders_give_the_mrtd_an_independent_program_computed() {
    #[derive(Deserialize)]
    struct Section {
        data_offset: usize,
        raw_size: usize,
        gpa: u64,
        mem_size: u64,
        attributes: u32,
    }
    #[derive(Deserialize)]
    struct Expected {
        sections: Vec<Section>,
        mrtd_two_pass: String,
        mrtd_single_pass: String,
    }
    let json = fs::read(vectors().join("measurement/tdx/mrtd_debian_ovmf.json")).unwrap();
    let expected: Expected = serde_json::from_slice(&json).unwrap();
    let firmware = file(DEBIAN);
    assert_eq!(hex::encode(mrtd(&firmware, PageAddOrder::TwoPass).unwrap()), expected.mrtd_two_pass);
    assert_eq!(hex::encode(mrtd(&firmware, PageAddOrder::Interleaved).unwrap()), expected.mrtd_single_pass);
    let sections = OvmfImage::parse(&firmware).unwrap().tdvf_sections().unwrap();
    assert_eq!(sections.len(), expected.sections.len());
    for (section, expected) in sections.iter().zip(&expected.sections) {
        assert_eq!(section.data, &firmware[expected.data_offset..expected.data_offset + expected.raw_size]);
        assert_eq!((section.gpa, section.memory_size), (expected.gpa, expected.mem_size));
        assert_eq!(section.extend, expected.attributes & 1 != 0);
    }
    assert_eq!(sections[0].kind, TdvfSectionKind::Bfv);
}

#[test]
fn mrtd_covers_code_and_layout_but_not_the_variable_store() {
    let firmware = file(DEBIAN);
    let expected = mrtd(&firmware, PageAddOrder::TwoPass).unwrap();
    let flipped = |offset: usize| {
        let mut changed = firmware.clone();
        changed[offset] ^= 1;
        mrtd(&changed, PageAddOrder::TwoPass)
    };
    // The configuration volume is added without MR.EXTEND: its contents are measured into RTMR0 instead.
    assert_eq!(flipped(0x1_0000), Ok(expected));
    for offset in [0x2_0000, 0x10_0000, firmware.len() - 1] {
        assert_ne!(flipped(offset), Ok(expected), "{offset:#x}");
    }
    let metadata = find(&firmware, b"TDVF");
    for (offset, value) in [(0, b'X'), (4, 0), (8, 2), (12, 0xff), (16 + 24, 9), (16 + 28, 4), (16 + 7, 0xff)] {
        let mut changed = firmware.clone();
        changed[metadata + offset] = value;
        let refused = mrtd(&changed, PageAddOrder::TwoPass).unwrap_err();
        assert_eq!(refused.code(), "measure.tdvf_metadata", "{offset}");
    }
    let mut huge = firmware.clone();
    huge[metadata + 16 + 16 + 5] = 1;
    assert_eq!(mrtd(&huge, PageAddOrder::TwoPass).unwrap_err().code(), "measure.too_many_pages");
    let mut without = firmware.clone();
    without[find(&firmware, &hex::decode("35657ae44a989847865e4685a7bf8ec2").unwrap())] ^= 1;
    assert_eq!(mrtd(&without, PageAddOrder::TwoPass).unwrap_err().code(), "measure.entry_missing");
    // The tail of an image names sections that lie before it.
    assert_eq!(mrtd(&file(AMD_SEV), PageAddOrder::TwoPass).unwrap_err().code(), "measure.tdvf_metadata");
}

#[test]
fn the_same_image_is_measured_by_both_architectures() {
    let firmware = file(DEBIAN);
    let image = OvmfImage::parse(&firmware).unwrap();
    assert_eq!(image.gpa(), 0xffe0_0000);
    let kinds: Vec<_> = image.sev_sections().unwrap().iter().map(|section| section.kind).collect();
    assert!(kinds.contains(&SevSectionKind::Secrets) && kinds.contains(&SevSectionKind::Cpuid), "{kinds:?}");
}

#[test]
fn cpu_signatures_are_those_of_cpuid() {
    for (name, signature) in [
        ("EPYC-v4", 0x0080_0f12),
        ("EPYC-Rome", 0x0083_0f10),
        ("EPYC-Milan-v2", 0x00a0_0f11),
        ("EPYC-Genoa-v1", 0x00a1_0f10),
        ("EPYC-Turin", 0x00b0_0f00),
    ] {
        assert_eq!(CpuModel::from_name(name).unwrap().signature(), signature, "{name}");
    }
    assert_eq!(CpuModel::from_signature(0x19, 0x01, 0x01), CpuModel::from_name("EPYC-Milan"));
    assert_eq!(CpuModel::from_signature(6, 0x8f, 0).unwrap().signature(), 0x0008_06f0);
    assert_eq!(CpuModel::from_signature(0x19, 1, 16).unwrap_err().code(), "measure.cpu_model");
    assert_eq!(CpuModel::names().map(CpuModel::from_name).filter(Result::is_err).count(), 0);
    assert_eq!(Vmm::names().map(Vmm::from_name).filter(Result::is_err).count(), 0);
}

#[test]
fn codes_are_distinct_and_named_alike() {
    for (prefix, codes) in [("measure.", MeasureError::CODES), ("eventlog.", EventLogError::CODES)] {
        let distinct: std::collections::BTreeSet<_> = codes.iter().collect();
        assert_eq!(distinct.len(), codes.len());
        assert!(codes.iter().all(|code| code.starts_with(prefix)));
    }
}

#[test]
fn rtmr_extension_is_order_dependent_and_starts_at_zero() {
    let (one, two) = ([1; 48], [2; 48]);
    assert_eq!(rtmr::replay([]), [0; 48]);
    assert_eq!(rtmr::replay([&one, &two]), rtmr::extend(&rtmr::extend(&[0; 48], &one), &two));
    assert_ne!(rtmr::replay([&one, &two]), rtmr::replay([&two, &one]));
}

proptest! {
    #[test]
    fn nothing_in_the_place_of_a_firmware_tail_makes_the_parser_panic(
        changes in proptest::collection::vec((3072_usize..4096, any::<u8>()), 1..24),
    ) {
        for (name, kernel) in [(AMD_SEV, Some(KernelHashes::of(b"kernel", None, "").unwrap())), (OVMF_X64, None)] {
            let original = file(name);
            let digest = |firmware: &[u8]| launch_digest(&LaunchDigestInputs { kernel, ..launch(firmware) });
            let mut firmware = original.clone();
            for (offset, value) in &changes {
                firmware[*offset] = *value;
            }
            if let Ok(image) = OvmfImage::parse(&firmware) {
                let _ = (image.sev_sections(), image.tdvf_sections(), image.hash_table_area());
            }
            prop_assume!(firmware != original);
            prop_assert_ne!(digest(&firmware), digest(&original));
            prop_assert!(digest(&original).is_ok());
        }
    }
}
