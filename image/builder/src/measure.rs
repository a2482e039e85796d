//! What a launch of the image will measure as, from the files alone.
//!
//! Decides: which launches the manifest lists. The arithmetic is `attestation::measure`, which verifiers use too.

use anyhow::Context;
use attestation::Hex32;
use attestation::measure::CpuModel;
use attestation::measure::snp::{GUEST_FEATURE_SNP_ACTIVE, KernelHashes, LaunchDigestInputs, Vmm, launch_digest};
use attestation::measure::tdx::{PageAddOrder, mrtd};
use attestation::reference::manifest::{Hex48, PCR_BANK, RTMR0_REPLAY, SnpLaunch, TdxMeasurements, VtpmMeasurements};

/// Numbers of virtual CPUs that the manifest lists launch digests for.
pub const VCPUS: [u32; 8] = [1, 2, 4, 8, 16, 32, 48, 64];

/// CPU models that the manifest lists launch digests for. The first is what QEMU shows unless told otherwise; a Milan row is computed
/// as well, although no shipped policy accepts a Milan chip.
pub const CPUS: [&str; 4] = ["EPYC-v4", "EPYC-Milan", "EPYC-Genoa", "EPYC-Turin"];

/// The files a launch depends on.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    /// Firmware for SEV-SNP.
    pub amdsev: &'a [u8],
    /// Firmware for TDX.
    pub inteltdx: &'a [u8],
    /// Kernel.
    pub vmlinuz: &'a [u8],
    /// Ramdisk.
    pub initrd: &'a [u8],
    /// Command line.
    pub cmdline: &'a str,
    /// Unified image.
    pub uki: &'a [u8],
}

/// Launch digests for [`VCPUS`] and [`CPUS`].
///
/// # Errors
/// When the firmware has no place for kernel hashes, or is no firmware.
pub fn snp(files: &Files<'_>) -> anyhow::Result<Vec<SnpLaunch>> {
    let kernel = KernelHashes::of(files.vmlinuz, Some(files.initrd), files.cmdline)?;
    let mut launches = Vec::new();
    for cpu in CPUS {
        for vcpus in VCPUS {
            let inputs = LaunchDigestInputs {
                firmware: files.amdsev,
                kernel: Some(kernel),
                vcpus,
                cpu: CpuModel::from_name(cpu)?,
                vmm: Vmm::Qemu,
                guest_features: GUEST_FEATURE_SNP_ACTIVE,
            };
            let digest = launch_digest(&inputs).context("compute a launch digest")?;
            launches.push(SnpLaunch {
                vcpus,
                cpu: cpu.to_owned(),
                guest_features: GUEST_FEATURE_SNP_ACTIVE,
                vmm: "qemu".to_owned(),
                launch_digest: Hex48(digest),
            });
        }
    }
    Ok(launches)
}

/// TDX registers and PCRs.
///
/// # Errors
/// When the firmware or the unified image is not one.
pub fn measured_boot(files: &Files<'_>) -> anyhow::Result<(TdxMeasurements, VtpmMeasurements)> {
    let uki = attestation::measure::uki::predict_uki(files.uki).context("predict a boot of the unified image")?;
    let tdx = TdxMeasurements {
        mrtd_single_pass: Hex48(mrtd(files.inteltdx, PageAddOrder::Interleaved)?),
        mrtd_two_pass: Hex48(mrtd(files.inteltdx, PageAddOrder::TwoPass)?),
        rtmr1: Hex48(uki.rtmr1),
        rtmr2: Hex48(uki.rtmr2),
        rtmr0: RTMR0_REPLAY.to_owned(),
    };
    let vtpm = VtpmMeasurements {
        pcr4: Hex32(uki.pcr4),
        pcr9: Hex32(uki.pcr9),
        pcr11: Hex32(uki.pcr11),
        bank: PCR_BANK.to_owned(),
    };
    Ok((tdx, vtpm))
}
