//! The launch digests in a built image's manifest, computed again by the `sev` crate and by `sev-snp-measure`.
//!
//! `image-launches target/image/cpu` prints a line for each launch and ends with 1 when any differs or when fewer were compared than
//! the image promises: 1, 2, 8 and 64 processors of three models, by both programs.
#![allow(clippy::unwrap_used, reason = "a tool for developers: it fails by panicking")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use attestation::reference::manifest::ImageManifest;
use attestation_peers::launch::{Direct, Files};
use attestation_peers::python;

/// Numbers of processors that both programs must have computed for a model to count.
const VCPUS: [u32; 4] = [1, 2, 8, 64];
/// Models for which that must hold.
const MODELS_MIN: usize = 3;
/// How a program that does not know a model begins its answer.
const UNKNOWN: &str = "unknown CPU model";

fn main() -> ExitCode {
    let mut out = std::io::stdout().lock();
    let Some(dir) = std::env::args_os().nth(1).map(PathBuf::from) else {
        writeln!(out, "usage: image-launches IMAGE-FOLDER, for example target/image/cpu").unwrap();
        return ExitCode::from(2);
    };
    let manifest = ImageManifest::from_json(&std::fs::read(dir.join("manifest.json")).unwrap()).unwrap();
    let files = Files {
        firmware: dir.join("OVMF.amdsev.fd"),
        direct: Some(Direct {
            kernel: dir.join("vmlinuz"),
            initrd: dir.join("initrd.cpio"),
            cmdline: manifest.cmdline.clone(),
        }),
    };
    let lines: String = manifest.snp.iter().map(|row| files.as_json_line(row.vcpus, &row.cpu)).collect();
    let by_python = python::run("launch_digest.py", &[], &lines);
    assert_eq!(by_python.len(), manifest.snp.len());

    let mut differing = 0;
    let mut by_model: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (row, by_python) in manifest.snp.iter().zip(&by_python) {
        let ours = row.launch_digest.to_string();
        let by_sev = files.by_sev(row.vcpus, &row.cpu);
        let verdict = |theirs: &str| match theirs {
            theirs if theirs == ours => "equal",
            theirs if theirs.starts_with(UNKNOWN) => "model unknown",
            _ => "DIFFERS",
        };
        let (sev, python) = (verdict(&by_sev), verdict(by_python));
        differing += [sev, python].iter().filter(|verdict| **verdict == "DIFFERS").count();
        if [sev, python] == ["equal"; 2] {
            by_model.entry(&row.cpu).or_default().push(row.vcpus);
        }
        writeln!(out, "{:>3} x {:12} {ours:.16}…  sev: {sev}  sev-snp-measure: {python}", row.vcpus, row.cpu).unwrap();
    }
    let whole = by_model.values().filter(|seen| VCPUS.iter().all(|vcpus| seen.contains(vcpus))).count();
    writeln!(
        out,
        "{} launches of {}, {differing} differences; {whole} models with {VCPUS:?} processors equal by all three",
        manifest.snp.len(),
        dir.display()
    )
    .unwrap();
    if differing == 0 && whole >= MODELS_MIN { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
