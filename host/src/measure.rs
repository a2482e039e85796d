//! `cloister-host measure`: what launches of an image directory measure as, recomputed from its files.
//!
//! Decides: whether each file and each measurement equals what `manifest.json` says. Trusts the files alone; that the manifest
//! is the publisher's is for its signature to say (`cloister`), not for this command. A measurement that the manifest does not
//! state is shown and counts neither way.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use attestation::Sha256Stream;
use attestation::measure::snp::{GUEST_FEATURE_SNP_ACTIVE, KernelHashes, LaunchDigestInputs, Vmm, launch_digest};
use attestation::measure::tdx::{PageAddOrder, mrtd};
use attestation::measure::uki::predict_uki;
use attestation::measure::{CpuModel, MeasureError};
use attestation::reference::ImageManifest;
use attestation::reference::manifest::{FirmwarePin, MANIFEST_BYTES_MAX, SnpLaunch};
use serde::Serialize;

use crate::output;

/// Firmware for SEV-SNP, in an image directory.
pub(crate) const FIRMWARE_SNP: &str = "OVMF.amdsev.fd";
/// Firmware for TDX, in an image directory.
pub(crate) const FIRMWARE_TDX: &str = "OVMF.inteltdx.fd";

/// What is recomputed.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The image directory: kernel, ramdisk, command line, firmware and `manifest.json`.
    #[arg(long, value_name = "DIR")]
    image: PathBuf,
    /// Compute this number of virtual CPUs instead of every launch in the manifest.
    #[arg(long, requires = "cpu")]
    vcpus: Option<u32>,
    /// Virtual CPU model, as QEMU names it.
    #[arg(long, requires = "vcpus", value_name = "TYPE")]
    cpu: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// How a value compares with the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Equal,
    Differs,
    NotStated,
}

/// One value.
#[derive(Debug, Serialize)]
struct Row {
    item: String,
    computed: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<String>,
    verdict: Verdict,
}

impl Row {
    fn new(item: impl Into<String>, computed: impl ToString, manifest: Option<String>) -> Self {
        let computed = computed.to_string();
        let verdict = match &manifest {
            None => Verdict::NotStated,
            Some(stated) if *stated == computed => Verdict::Equal,
            Some(_) => Verdict::Differs,
        };
        Self { item: item.into(), computed, manifest, verdict }
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let rows = rows(args)?;
    let differs = rows.iter().filter(|row| row.verdict == Verdict::Differs).count();
    if args.json {
        output::line(&serde_json::json!({"equal": differs == 0, "values": rows}).to_string())?;
    } else {
        for row in &rows {
            output::line(&text(row))?;
        }
    }
    match rows.iter().find(|row| row.verdict == Verdict::Differs) {
        None => Ok(()),
        Some(first) => {
            bail!("{differs} of {} values differ from the manifest; the first is {}", rows.len(), first.item)
        }
    }
}

fn text(row: &Row) -> String {
    let Row { item, computed, manifest, verdict } = row;
    match (verdict, manifest) {
        (Verdict::Differs, Some(stated)) => format!("DIFFERS     {item}  {computed}, the manifest states {stated}"),
        (Verdict::Equal, _) => format!("EQUAL       {item}  {computed}"),
        _ => format!("NOT STATED  {item}  {computed}"),
    }
}

fn rows(args: &Args) -> anyhow::Result<Vec<Row>> {
    let manifest = read_manifest(&args.image.join("manifest.json"))?;
    let mut rows = artifacts(&args.image, &manifest)?;
    let files = Boot::read(&args.image)?;
    rows.push(Row::new("cmdline", &files.cmdline, Some(manifest.cmdline.clone())));
    rows.push(firmware(FIRMWARE_SNP, &files.firmware_snp, &manifest.firmware.amdsev));
    rows.push(firmware(FIRMWARE_TDX, &files.firmware_tdx, &manifest.firmware.tdx));
    rows.extend(match (args.vcpus, &args.cpu) {
        (Some(vcpus), Some(cpu)) => vec![snp_asked(&files, &manifest, vcpus, cpu)?],
        _ => manifest.snp.iter().map(|launch| snp_stated(&files, launch)).collect::<anyhow::Result<_>>()?,
    });
    rows.extend(tdx(&files, &manifest)?);
    rows.extend(uki(&files, &manifest)?);
    Ok(rows)
}

/// Reads a manifest.
pub(crate) fn read_manifest(path: &Path) -> anyhow::Result<ImageManifest> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(MANIFEST_BYTES_MAX)?.saturating_add(1);
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    file.take(limit).read_to_end(&mut bytes).with_context(|| format!("read {}", path.display()))?;
    ImageManifest::from_json(&bytes).with_context(|| format!("{} is not a manifest", path.display()))
}

/// Every file the manifest names.
fn artifacts(image: &Path, manifest: &ImageManifest) -> anyhow::Result<Vec<Row>> {
    let row = |(name, artifact): (&String, &attestation::reference::manifest::Artifact)| {
        let path = image.join(name);
        let (digest, size) = digest_of(&path)?;
        let stated = format!("{}, {} bytes", artifact.sha256, artifact.size);
        Ok(Row::new(name.as_str(), format!("{digest}, {size} bytes"), Some(stated)))
    };
    manifest.artifacts.iter().map(row).collect()
}

/// SHA-256 and size of a file that may be larger than memory.
fn digest_of(path: &Path) -> anyhow::Result<(String, u64)> {
    let mut file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let (mut hasher, mut size) = (Sha256Stream::new(), 0_u64);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer).with_context(|| format!("read {}", path.display()))?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        hasher.update(bytes);
        size = size.saturating_add(u64::try_from(read)?);
    }
    Ok((hasher.finish().to_hex(), size))
}

/// What a launch is made of.
struct Boot {
    kernel: Vec<u8>,
    initrd: Vec<u8>,
    cmdline: String,
    firmware_snp: Vec<u8>,
    firmware_tdx: Vec<u8>,
    uki: Vec<u8>,
}

impl Boot {
    fn read(image: &Path) -> anyhow::Result<Self> {
        let read = |name: &str| {
            let path = image.join(name);
            fs::read(&path).with_context(|| format!("read {}", path.display()))
        };
        Ok(Self {
            kernel: read("vmlinuz")?,
            initrd: read("initrd.cpio")?,
            cmdline: cmdline(image)?,
            firmware_snp: read(FIRMWARE_SNP)?,
            firmware_tdx: read(FIRMWARE_TDX)?,
            uki: read("uki.efi")?,
        })
    }

    fn launch_digest(&self, launch: &Launch<'_>) -> Result<[u8; 48], MeasureError> {
        launch_digest(&LaunchDigestInputs {
            firmware: &self.firmware_snp,
            kernel: Some(KernelHashes::of(&self.kernel, Some(&self.initrd), &self.cmdline)?),
            vcpus: launch.vcpus,
            cpu: CpuModel::from_name(launch.cpu)?,
            vmm: Vmm::from_name(launch.vmm)?,
            guest_features: launch.guest_features,
        })
    }
}

/// The kernel command line of an image directory, as a virtual machine monitor is given it.
pub(crate) fn cmdline(image: &Path) -> anyhow::Result<String> {
    let path = image.join("cmdline");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    Ok(text.trim_end_matches('\n').to_owned())
}

fn firmware(name: &str, bytes: &[u8], pin: &FirmwarePin) -> Row {
    // A launch digest looks the same whether the firmware enforces the table of hashes or not: which firmware it is matters.
    let digest = attestation::Sha256Digest::of(bytes).to_hex();
    Row::new(format!("firmware {name} ({} {})", pin.package, pin.version), digest, Some(pin.sha256.to_string()))
}

/// One way to launch on SEV-SNP.
struct Launch<'a> {
    vcpus: u32,
    cpu: &'a str,
    vmm: &'a str,
    guest_features: u64,
}

impl Launch<'_> {
    fn row(&self, files: &Boot, stated: Option<String>) -> anyhow::Result<Row> {
        let Launch { vcpus, cpu, vmm, guest_features } = self;
        let item = format!("snp launch digest, {vcpus} x {cpu}, {vmm}, features {guest_features:#x}");
        let digest = files.launch_digest(self).with_context(|| format!("compute the {item}"))?;
        Ok(Row::new(item, hex::encode(digest), stated))
    }
}

fn snp_stated(files: &Boot, stated: &SnpLaunch) -> anyhow::Result<Row> {
    let SnpLaunch { vcpus, cpu, guest_features, vmm, launch_digest } = stated;
    let launch = Launch { vcpus: *vcpus, cpu, vmm, guest_features: *guest_features };
    launch.row(files, Some(launch_digest.to_string()))
}

fn snp_asked(files: &Boot, manifest: &ImageManifest, vcpus: u32, cpu: &str) -> anyhow::Result<Row> {
    let launch = Launch { vcpus, cpu, vmm: "qemu", guest_features: GUEST_FEATURE_SNP_ACTIVE };
    let same = |stated: &&SnpLaunch| {
        let SnpLaunch { vcpus, cpu, guest_features, vmm, .. } = *stated;
        (*vcpus, cpu.as_str(), vmm.as_str(), *guest_features)
            == (launch.vcpus, launch.cpu, launch.vmm, launch.guest_features)
    };
    launch.row(files, manifest.snp.iter().find(same).map(|stated| stated.launch_digest.to_string()))
}

fn tdx(files: &Boot, manifest: &ImageManifest) -> anyhow::Result<Vec<Row>> {
    let value = |order| mrtd(&files.firmware_tdx, order).map(hex::encode).context("compute MRTD");
    let stated = manifest.tdx.as_ref();
    Ok(vec![
        Row::new(
            "tdx mrtd, single pass",
            value(PageAddOrder::Interleaved)?,
            stated.map(|tdx| tdx.mrtd_single_pass.to_string()),
        ),
        Row::new(
            "tdx mrtd, two passes",
            value(PageAddOrder::TwoPass)?,
            stated.map(|tdx| tdx.mrtd_two_pass.to_string()),
        ),
    ])
}

/// What a boot from the unified kernel image measures as, in a TD and with a TPM.
fn uki(files: &Boot, manifest: &ImageManifest) -> anyhow::Result<Vec<Row>> {
    let predicted = predict_uki(&files.uki).context("predict the boot of uki.efi")?;
    let (tdx, vtpm) = (manifest.tdx.as_ref(), manifest.vtpm.as_ref());
    Ok(vec![
        Row::new("tdx rtmr1", hex::encode(predicted.rtmr1), tdx.map(|tdx| tdx.rtmr1.to_string())),
        Row::new("tdx rtmr2", hex::encode(predicted.rtmr2), tdx.map(|tdx| tdx.rtmr2.to_string())),
        Row::new("vtpm pcr4", hex::encode(predicted.pcr4), vtpm.map(|vtpm| vtpm.pcr4.to_string())),
        Row::new("vtpm pcr9", hex::encode(predicted.pcr9), vtpm.map(|vtpm| vtpm.pcr9.to_string())),
        Row::new("vtpm pcr11", hex::encode(predicted.pcr11), vtpm.map(|vtpm| vtpm.pcr11.to_string())),
    ])
}

#[cfg(test)]
mod tests;
