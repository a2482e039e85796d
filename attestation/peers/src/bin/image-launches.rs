//! The launch digests of a built image, computed again by the `sev` crate and by `sev-snp-measure`.
//!
//! Takes an image's folder; every row of its manifest with 1, 2, 8 or 64 virtual CPUs must come out equal. Exit code 1 otherwise.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use attestation::reference::manifest::{ImageManifest, SnpLaunch};
use attestation_peers::python;
use serde_json::json;
use sev::measurement::snp::{SnpMeasurementArgs, snp_calc_launch_digest};
use sev::measurement::vcpu_types::CpuType;
use sev::measurement::vmsa::{GuestFeatures, VMMType};
use sev::parser::ByteParser;

/// Numbers of virtual CPUs that are compared.
const VCPUS: [u32; 4] = [1, 2, 8, 64];

fn main() -> ExitCode {
    let Some(image) = std::env::args().nth(1).map(PathBuf::from) else {
        println!("usage: image-launches IMAGE-FOLDER");
        return ExitCode::from(2);
    };
    let text = std::fs::read(image.join("manifest.json")).expect("the image has a manifest; run `make image`");
    let manifest = ImageManifest::from_json(&text).expect("the manifest is valid");
    let rows: Vec<_> = manifest.snp.iter().filter(|row| VCPUS.contains(&row.vcpus)).collect();
    let lines: String = rows.iter().map(|row| line(&image, &manifest.cmdline, row)).collect();
    let by_python = python::run("launch_digest.py", &[], &lines);
    let mut equal = 0;
    for (row, by_python) in rows.iter().zip(&by_python) {
        let (ours, by_sev) = (row.launch_digest.to_string(), by_sev(&image, &manifest.cmdline, row));
        let same = by_sev.as_ref().is_none_or(|digest| *digest == ours) && ours == *by_python;
        equal += usize::from(same);
        let word = if same { "equal" } else { "DIFFERENT" };
        let by = if by_sev.is_some() { "by both" } else { "by sev-snp-measure; sev does not know the CPU" };
        println!("{word} {:<11} {:>2} vCPUs {ours} {by}", row.cpu, row.vcpus);
        if !same {
            println!("  sev              {by_sev:?}\n  sev-snp-measure  {by_python}");
        }
    }
    println!("{equal} of {} launch digests of the manifest are what the others compute", rows.len());
    if equal == rows.len() && equal > 0 && by_python.len() == rows.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// By the crate; nothing for a CPU it does not know.
fn by_sev(image: &Path, cmdline: &str, row: &SnpLaunch) -> Option<String> {
    let vcpu_type = CpuType::try_from(row.cpu.as_str()).ok()?;
    let digest = snp_calc_launch_digest(SnpMeasurementArgs {
        vcpus: row.vcpus,
        vcpu_type,
        ovmf_file: image.join("OVMF.amdsev.fd"),
        guest_features: GuestFeatures::from_bytes(&row.guest_features.to_le_bytes()).expect("eight bytes"),
        kernel_file: Some(image.join("vmlinuz")),
        initrd_file: Some(image.join("initrd.cpio")),
        append: Some(cmdline),
        ovmf_hash_str: None,
        vmm_type: Some(VMMType::QEMU),
    });
    Some(digest.map_or_else(|error| error.to_string(), |digest| digest.get_hex_ld()))
}

fn line(image: &Path, cmdline: &str, row: &SnpLaunch) -> String {
    let line = json!({
        "firmware": image.join("OVMF.amdsev.fd"),
        "kernel": image.join("vmlinuz"),
        "initrd": image.join("initrd.cpio"),
        "cmdline": cmdline,
        "vcpus": row.vcpus,
        "cpu": row.cpu,
        "vmm": "QEMU",
        "guest_features": row.guest_features,
    });
    format!("{line}\n")
}
