//! SEV-SNP launch digests of the same launches by three programs.

use std::path::PathBuf;

use attestation::measure::CpuModel;
use attestation::measure::snp::{KernelHashes, LaunchDigestInputs, Vmm, launch_digest};
use serde_json::json;
use sev::measurement::snp::{SnpMeasurementArgs, snp_calc_launch_digest};
use sev::measurement::vcpu_types::CpuType;
use sev::measurement::vmsa::{GuestFeatures, VMMType};
use sev::parser::ByteParser;

use crate::{python, vectors};

/// Debian 12's OVMF: a whole image, whose metadata has no page for kernel hashes.
pub const DEBIAN_OVMF: &str = "OVMF_debian12_2022.11-6+deb12u2.fd";
/// The last page of an AmdSev build, which takes kernel hashes.
pub const AMD_SEV_OVMF: &str = "ovmf_AmdSev_suffix.bin";

/// SEV_FEATURES: SNP active and nothing else.
const GUEST_FEATURES: u64 = 1;
const CMDLINE: &str = "console=ttyS0 root=/dev/vda1";

/// One launch under QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Launch {
    /// File in `tests/vectors/measurement/snp`.
    pub firmware: &'static str,
    /// Whether a kernel, an initial RAM disk and a command line are booted directly.
    pub kernel: bool,
    /// Virtual CPUs.
    pub vcpus: u32,
    /// QEMU's name of the CPU model.
    pub cpu: &'static str,
}

/// Every combination that is compared: the Debian image without and the AmdSev image with and without a kernel.
#[must_use]
pub fn matrix() -> Vec<Launch> {
    let mut launches = Vec::new();
    for (firmware, kernel) in [(DEBIAN_OVMF, false), (AMD_SEV_OVMF, true), (AMD_SEV_OVMF, false)] {
        for vcpus in [1, 2, 8, 64] {
            for cpu in ["EPYC-Milan", "EPYC-Genoa", "EPYC-v4"] {
                launches.push(Launch { firmware, kernel, vcpus, cpu });
            }
        }
    }
    launches
}

fn file(name: &str) -> PathBuf {
    vectors::path("measurement/snp").join(name)
}

impl Launch {
    /// The firmware image.
    #[must_use]
    pub fn firmware(&self) -> Vec<u8> {
        std::fs::read(file(self.firmware)).unwrap()
    }

    /// By this project; hex, or the code of the refusal.
    #[must_use]
    pub fn ours(&self) -> String {
        let firmware = self.firmware();
        let kernel = self.kernel.then(|| {
            let [kernel, initrd] = ["kernel.bin", "initrd.bin"].map(|name| std::fs::read(file(name)).unwrap());
            KernelHashes::of(&kernel, Some(&initrd), CMDLINE).unwrap()
        });
        let digest = launch_digest(&LaunchDigestInputs {
            firmware: &firmware,
            kernel,
            vcpus: self.vcpus,
            cpu: CpuModel::from_name(self.cpu).unwrap(),
            vmm: Vmm::Qemu,
            guest_features: GUEST_FEATURES,
        });
        digest.map_or_else(|error| error.code().to_owned(), hex::encode)
    }

    /// By the `sev` crate; hex, or its error.
    #[must_use]
    pub fn by_sev(&self) -> String {
        let part = |name: &str| self.kernel.then(|| file(name));
        let digest = snp_calc_launch_digest(SnpMeasurementArgs {
            vcpus: self.vcpus,
            vcpu_type: CpuType::try_from(self.cpu).unwrap(),
            ovmf_file: file(self.firmware),
            guest_features: GuestFeatures::from_bytes(&GUEST_FEATURES.to_le_bytes()).unwrap(),
            kernel_file: part("kernel.bin"),
            initrd_file: part("initrd.bin"),
            append: self.kernel.then_some(CMDLINE),
            ovmf_hash_str: None,
            vmm_type: Some(VMMType::QEMU),
        });
        digest.map_or_else(|error| error.to_string(), |digest| digest.get_hex_ld())
    }

    fn as_json_line(&self) -> String {
        let part = |name: &str| if self.kernel { file(name) } else { PathBuf::new() };
        let line = json!({
            "firmware": file(self.firmware),
            "kernel": part("kernel.bin"),
            "initrd": part("initrd.bin"),
            "cmdline": if self.kernel { CMDLINE } else { "" },
            "vcpus": self.vcpus,
            "cpu": self.cpu,
            "vmm": "QEMU",
            "guest_features": GUEST_FEATURES,
        });
        format!("{line}\n")
    }
}

/// By `sev-snp-measure`, all in one process: a line for each launch.
#[must_use]
pub fn by_sev_snp_measure(launches: &[Launch], arguments: &[&str]) -> Vec<String> {
    let input: String = launches.iter().map(Launch::as_json_line).collect();
    let lines = python::run("launch_digest.py", arguments, &input);
    assert_eq!(lines.len(), launches.len());
    lines
}
