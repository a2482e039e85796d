//! The files of an image, held against its manifest; and the manifest's digests, computed again from the files.
//!
//! Decides: which file is not what the manifest says. A file that is missing differs.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use attestation::measure::snp::{KernelHashes, LaunchDigestInputs, Vmm, launch_digest};
use attestation::measure::tdx::{PageAddOrder, mrtd};
use attestation::measure::uki::predict_uki;
use attestation::measure::{CpuModel, MeasureError};
use attestation::reference::manifest::{Artifact, FirmwarePin, Hex48, SnpLaunch};
use attestation::{Hex32, ImageManifest, Sha256Digest, Sha256Stream};

use super::live::describe;
use super::{Audit, Equality, initrd};
use crate::files::read_capped;

/// Names of files in an image's directory.
const FIRMWARE_SNP: &str = "OVMF.amdsev.fd";
const FIRMWARE_TDX: &str = "OVMF.inteltdx.fd";
const KERNEL: &str = "vmlinuz";
const INITRD: &str = "initrd.cpio";
const CMDLINE: &str = "cmdline";
const UKI: &str = "uki.efi";

/// Names of files in the ramdisk.
const GUARDIAN_CONFIG: &str = "measured/guardian.toml";
const IMAGE_CONFIG: &str = "measured/image.json";

/// Largest file that is measured, not only hashed.
const MEASURED_BYTES_MAX: u64 = 512 << 20;

/// Compares everything the directory holds with the manifest.
pub(super) fn compare(directory: &Path, manifest: &ImageManifest, audit: &mut Audit) {
    for (name, expected) in &manifest.artifacts {
        match hash(&directory.join(name)) {
            Ok(got) if got == *expected => audit.push(format!("file.{name}"), Equality::Equal, got.sha256.to_string()),
            Ok(got) => {
                let (expected, got) = (describe_file(expected), describe_file(&got));
                audit.push(format!("file.{name}"), Equality::Differs, format!("expected {expected}, got {got}"));
            }
            Err(error) => audit.push(format!("file.{name}"), Equality::Differs, format!("cannot be read: {error}")),
        }
    }
    compare_pins(manifest, audit);
    compare_texts(directory, manifest, audit);
    compare_snp(directory, manifest, audit);
    compare_uki(directory, manifest, audit);
}

fn describe_file(file: &Artifact) -> String {
    format!("{} ({} bytes)", file.sha256, file.size)
}

fn hash(path: &Path) -> std::io::Result<Artifact> {
    let (mut file, mut stream, mut size) = (File::open(path)?, Sha256Stream::new(), 0_u64);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        stream.update(bytes);
        size = size.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
    Ok(Artifact { sha256: Hex32(stream.finish().0), size })
}

/// What the manifest says in two places is the same in both.
fn compare_pins(manifest: &ImageManifest, audit: &mut Audit) {
    let mut pin = |item: String, name: &str, expected: &Hex32| match manifest.artifacts.get(name) {
        Some(file) => audit.compare(item, expected, &file.sha256),
        None => audit.push(item, Equality::Differs, format!("the manifest lists no file {name}")),
    };
    let firmware = &manifest.firmware;
    let FirmwarePin { sha256, enforces_kernel_hashes, .. } = &firmware.amdsev;
    pin("firmware.amdsev".to_owned(), FIRMWARE_SNP, sha256);
    pin("firmware.tdx".to_owned(), FIRMWARE_TDX, &firmware.tdx.sha256);
    for volume in &manifest.volumes {
        pin(format!("volume.{}", volume.name), &format!("{}.img", volume.name), &volume.sha256);
    }
    // A firmware that does not would boot another kernel under the same launch digest.
    audit.compare("firmware.amdsev.enforces_hashes", &true, enforces_kernel_hashes);
}

/// Command line, root hash, and the configurations in the ramdisk.
fn compare_texts(directory: &Path, manifest: &ImageManifest, audit: &mut Audit) {
    match read_capped(&directory.join(CMDLINE), MEASURED_BYTES_MAX) {
        Ok(bytes) => {
            let got = String::from_utf8_lossy(&bytes).into_owned();
            let word = manifest.cmdline.split(' ').zip(got.split(' ')).find(|(one, other)| one != other);
            match word {
                Some((expected, got)) => {
                    audit.push("cmdline", Equality::Differs, format!("expected {expected:?}, got {got:?}"));
                }
                None => audit.compare("cmdline", &manifest.cmdline, &got),
            }
        }
        Err(error) => audit.push("cmdline", Equality::Differs, format!("cannot be read: {error}")),
    }
    let root = manifest.volumes.iter().find(|volume| volume.name == "root");
    let on_cmdline = manifest.cmdline.split(' ').find_map(|word| word.strip_prefix("cloister.roothash="));
    let expected = root.map_or_else(|| "no root volume".to_owned(), |root| root.root_hash.to_string());
    audit.compare("cmdline.roothash", expected.as_str(), on_cmdline.unwrap_or("none"));

    let initrd = read_capped(&directory.join(INITRD), MEASURED_BYTES_MAX).unwrap_or_default();
    let mut inside = |item: &str, name: &str, expected: &Hex32| match initrd::find(&initrd, name) {
        Some(bytes) => audit.compare(item, expected, &Hex32(Sha256Digest::of(bytes).0)),
        None => audit.push(item, Equality::Differs, format!("{INITRD} does not hold {name} once")),
    };
    inside("guardian_config", GUARDIAN_CONFIG, &manifest.guardian_config_sha256);
    inside("image_config", IMAGE_CONFIG, &manifest.image_config_sha256);
    compare_volumes(initrd::find(&initrd, IMAGE_CONFIG), manifest, audit);
}

/// The root hashes the guest mounts by.
fn compare_volumes(image_config: Option<&[u8]>, manifest: &ImageManifest, audit: &mut Audit) {
    let config: Option<serde_json::Value> = image_config.and_then(|bytes| serde_json::from_slice(bytes).ok());
    let in_config = |name: &str| {
        let volumes = config.as_ref()?.get("volumes")?.as_array()?;
        let volume = volumes.iter().find(|volume| volume.get("name").and_then(|name| name.as_str()) == Some(name))?;
        Some(volume.get("root_hash")?.as_str()?.to_owned())
    };
    for volume in &manifest.volumes {
        let got = in_config(&volume.name).unwrap_or_else(|| "none".to_owned());
        audit.compare(format!("volume.{}.root_hash", volume.name), volume.root_hash.to_string().as_str(), got.as_str());
    }
}

/// The launch digests, computed from firmware, kernel, ramdisk and command line.
fn compare_snp(directory: &Path, manifest: &ImageManifest, audit: &mut Audit) {
    let read = |name| read_capped(&directory.join(name), MEASURED_BYTES_MAX).ok();
    let files = (read(FIRMWARE_SNP), read(KERNEL), read(INITRD), read(CMDLINE));
    let (Some(firmware), Some(kernel), Some(initrd), Some(cmdline)) = files else {
        audit.push("launch_digests", Equality::Differs, "a file they are computed from cannot be read");
        return;
    };
    let hashes = KernelHashes::of(&kernel, Some(&initrd), &String::from_utf8_lossy(&cmdline));
    for launch in &manifest.snp {
        let item = format!("launch_digest ({})", describe(launch));
        match hashes.clone().and_then(|hashes| recompute(&firmware, hashes, launch)) {
            Ok(got) => audit.compare(item, &launch.launch_digest, &got),
            Err(error) => audit.push(item, Equality::Differs, error.to_string()),
        }
    }
}

fn recompute(firmware: &[u8], hashes: KernelHashes, launch: &SnpLaunch) -> Result<Hex48, MeasureError> {
    let inputs = LaunchDigestInputs {
        firmware,
        kernel: Some(hashes),
        vcpus: launch.vcpus,
        cpu: CpuModel::from_name(&launch.cpu)?,
        vmm: Vmm::from_name(&launch.vmm)?,
        guest_features: launch.guest_features,
    };
    launch_digest(&inputs).map(Hex48)
}

/// MRTD of the TDX firmware, and what a boot of the unified image measures as.
fn compare_uki(directory: &Path, manifest: &ImageManifest, audit: &mut Audit) {
    let read = |name| read_capped(&directory.join(name), MEASURED_BYTES_MAX).unwrap_or_default();
    if let Some(tdx) = &manifest.tdx {
        let firmware = read(FIRMWARE_TDX);
        let orders = [
            ("mrtd (single pass)", PageAddOrder::Interleaved, &tdx.mrtd_single_pass),
            ("mrtd (two passes)", PageAddOrder::TwoPass, &tdx.mrtd_two_pass),
        ];
        for (item, order, expected) in orders {
            match mrtd(&firmware, order) {
                Ok(got) => audit.compare(item, expected, &Hex48(got)),
                Err(error) => audit.push(item, Equality::Differs, error.to_string()),
            }
        }
    }
    if manifest.tdx.is_none() && manifest.vtpm.is_none() {
        return;
    }
    let predicted = match predict_uki(&read(UKI)) {
        Ok(predicted) => predicted,
        Err(error) => return audit.push("uki", Equality::Differs, error.to_string()),
    };
    if let Some(tdx) = &manifest.tdx {
        audit.compare("rtmr1", &tdx.rtmr1, &Hex48(predicted.rtmr1));
        audit.compare("rtmr2", &tdx.rtmr2, &Hex48(predicted.rtmr2));
    }
    if let Some(vtpm) = &manifest.vtpm {
        audit.compare("pcr4", &vtpm.pcr4, &Hex32(predicted.pcr4));
        audit.compare("pcr9", &vtpm.pcr9, &Hex32(predicted.pcr9));
        audit.compare("pcr11", &vtpm.pcr11, &Hex32(predicted.pcr11));
    }
}
