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
        self.files().by_sev(self.vcpus, self.cpu)
    }

    /// What is launched.
    #[must_use]
    pub fn files(&self) -> Files {
        Files {
            firmware: file(self.firmware),
            direct: self.kernel.then(|| Direct {
                kernel: file("kernel.bin"),
                initrd: file("initrd.bin"),
                cmdline: CMDLINE.to_owned(),
            }),
        }
    }
}

/// What a launch measures besides its processors, as the other programs take it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The firmware image.
    pub firmware: PathBuf,
    /// What the firmware is handed and checks.
    pub direct: Option<Direct>,
}

/// A kernel that is booted directly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Direct {
    /// Kernel image.
    pub kernel: PathBuf,
    /// Initial RAM disk.
    pub initrd: PathBuf,
    /// Kernel command line.
    pub cmdline: String,
}

impl Files {
    /// The launch under QEMU by the `sev` crate; hex, or its error.
    #[must_use]
    pub fn by_sev(&self, vcpus: u32, cpu: &str) -> String {
        let Ok(vcpu_type) = CpuType::try_from(cpu) else { return format!("unknown CPU model {cpu}") };
        let digest = snp_calc_launch_digest(SnpMeasurementArgs {
            vcpus,
            vcpu_type,
            ovmf_file: self.firmware.clone(),
            guest_features: GuestFeatures::from_bytes(&GUEST_FEATURES.to_le_bytes()).unwrap(),
            kernel_file: self.direct.as_ref().map(|direct| direct.kernel.clone()),
            initrd_file: self.direct.as_ref().map(|direct| direct.initrd.clone()),
            append: self.direct.as_ref().map(|direct| direct.cmdline.as_str()),
            ovmf_hash_str: None,
            vmm_type: Some(VMMType::QEMU),
        });
        digest.map_or_else(|error| error.to_string(), |digest| digest.get_hex_ld())
    }

    /// The same for `launch_digest.py`, as a line.
    #[must_use]
    pub fn as_json_line(&self, vcpus: u32, cpu: &str) -> String {
        let none = Direct { kernel: PathBuf::new(), initrd: PathBuf::new(), cmdline: String::new() };
        let Direct { kernel, initrd, cmdline } = self.direct.as_ref().unwrap_or(&none);
        let firmware = &self.firmware;
        let line = json!({
            "firmware": firmware,
            "kernel": kernel,
            "initrd": initrd,
            "cmdline": cmdline,
            "vcpus": vcpus,
            "cpu": cpu,
            "vmm": "QEMU",
            "guest_features": GUEST_FEATURES,
        });
        format!("{line}\n")
    }
}

/// By `sev-snp-measure`, all in one process: a line for each launch.
#[must_use]
pub fn by_sev_snp_measure(launches: &[Launch], arguments: &[&str]) -> Vec<String> {
    let input: String = launches.iter().map(|launch| launch.files().as_json_line(launch.vcpus, launch.cpu)).collect();
    let lines = python::run("launch_digest.py", arguments, &input);
    assert_eq!(lines.len(), launches.len());
    lines
}
