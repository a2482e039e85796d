//! The SEV-SNP launch digest: what MEASUREMENT must be after an honest launch of given bytes.
//!
//! Decides: the digest (SNP ABI §4.6 "Launch digest" and §8.17.2 PAGE_INFO). Trusts that the caller names the virtual
//! machine monitor, CPU model, CPU count and features the guest is really launched with: a wrong one gives a digest no
//! guest reports, never a match with another image.

mod hashes;
mod vmsa;

use super::ovmf::{OvmfImage, SevSection, SevSectionKind};
use super::{CpuModel, MeasureError, PAGE_LEN};
use crate::crypto;
use vmsa::InitialState;

pub use hashes::{HASH_TABLE_PADDED_LEN, KernelHashes, KernelHashesTable, kernel_hashes_table};

/// Most virtual CPUs a launch digest is computed for.
pub const VCPUS_MAX: u32 = 4096;

/// SEV_FEATURES bit 0, SNPActive, without which a guest is not an SNP guest (APM Vol. 2, Table B-4).
pub const GUEST_FEATURE_SNP_ACTIVE: u64 = 1;

/// Which program launches the guest: each sets up first registers and pages in its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Vmm {
    /// QEMU with KVM. Checked against digests both public tools agree on.
    Qemu,
    /// Amazon EC2 since its register state has RDX = 0x600. Maintainers of the provider's firmware repository report that
    /// this value matches a live c6a.xlarge (virtee/sev-snp-measure pull request 60, aws/uefi issue 19, 2026), and
    /// `sev-snp-measure` 0.0.13 computes it. No capture here lets us repeat that: AWS firmware is not among the vectors.
    Ec2,
    /// Amazon EC2 before that, with RDX = 0, as `sev` 8.0.0 and `sev-snp-measure` up to 0.0.12 compute it. Which guests
    /// were launched so is not published; allow-list it only for a digest that was seen.
    Ec2RdxZero,
    /// Google Compute Engine, as `sev-snp-measure` 0.0.13 computes it; `sev` 8.0.0 does not know it. Not confirmed by a
    /// capture here.
    Gce,
    /// libkrun, exactly as `sev` 8.0.0 computes it. That code sets per-CPU registers and then overwrites some of them, and
    /// libkrun does not boot OVMF by default, so this is the least certain of all.
    Krun,
}

/// Names of the monitors, as command lines and vectors write them.
const VMM_NAMES: &[(&str, Vmm)] = &[
    ("qemu", Vmm::Qemu),
    ("ec2", Vmm::Ec2),
    ("ec2-rdx-zero", Vmm::Ec2RdxZero),
    ("gce", Vmm::Gce),
    ("krun", Vmm::Krun),
];

impl Vmm {
    /// The monitor of this name; letter case does not matter.
    ///
    /// # Errors
    /// [`MeasureError::Vmm`] for any other name.
    pub fn from_name(name: &str) -> Result<Self, MeasureError> {
        let found = VMM_NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, vmm)| *vmm).ok_or_else(|| MeasureError::Vmm { got: name.to_owned() })
    }

    /// Every name [`Self::from_name`] knows.
    pub fn names() -> impl Iterator<Item = &'static str> {
        VMM_NAMES.iter().map(|(name, _)| *name)
    }
}

/// Everything a launch digest depends on.
#[derive(Debug, Clone, Copy)]
pub struct LaunchDigestInputs<'a> {
    /// The firmware image, as given to the virtual machine monitor.
    pub firmware: &'a [u8],
    /// Hashes of a directly booted kernel; `None` when the firmware finds its own.
    pub kernel: Option<KernelHashes>,
    /// Number of virtual CPUs, 1 to [`VCPUS_MAX`].
    pub vcpus: u32,
    /// CPU model the guest sees; only QEMU measures it.
    pub cpu: CpuModel,
    /// Which program launches the guest.
    pub vmm: Vmm,
    /// SEV_FEATURES of every virtual CPU.
    pub guest_features: u64,
}

/// The launch digest of a guest started from `inputs`.
///
/// # Errors
/// Any [`MeasureError`] but `measure.tdvf_metadata`, `measure.cpu_model`, `measure.vmm` and `measure.command_line`.
pub fn launch_digest(inputs: &LaunchDigestInputs<'_>) -> Result<[u8; 48], MeasureError> {
    if inputs.vcpus == 0 || inputs.vcpus > VCPUS_MAX {
        return Err(MeasureError::VcpuCount { got: inputs.vcpus });
    }
    if inputs.guest_features & GUEST_FEATURE_SNP_ACTIVE == 0 {
        return Err(MeasureError::GuestFeatures { got: inputs.guest_features });
    }
    let image = OvmfImage::parse(inputs.firmware)?;
    let sections = image.sev_sections()?;
    let hashes_page = inputs.kernel.map(|hashes| hashes::page(&image, &sections, &hashes)).transpose()?;
    let ap_eip = image.sev_es_reset_eip()?;
    if inputs.vcpus > 1 && ap_eip == 0 {
        return Err(MeasureError::ResetVector);
    }

    let mut digest = LaunchDigest::new();
    digest.data_pages(image.gpa(), image.bytes());
    metadata_pages(&mut digest, &sections, hashes_page.as_ref(), inputs.vmm);
    let state = InitialState { vmm: inputs.vmm, cpu: inputs.cpu, features: inputs.guest_features };
    digest.vmsa_page(&crypto::sha384(&state.bootstrap_page()));
    let application = crypto::sha384(&state.application_page(ap_eip));
    for _ in 1..inputs.vcpus {
        digest.vmsa_page(&application);
    }
    Ok(digest.0)
}

/// PAGE_TYPE (SNP ABI §8.17.2, table "Encodings for the PAGE_TYPE field").
#[derive(Clone, Copy)]
enum PageType {
    Normal,
    Vmsa,
    Zero,
    Unmeasured,
    Secrets,
    Cpuid,
}

impl PageType {
    fn encoding(self) -> u8 {
        match self {
            Self::Normal => 1,
            Self::Vmsa => 2,
            Self::Zero => 3,
            Self::Unmeasured => 4,
            Self::Secrets => 5,
            Self::Cpuid => 6,
        }
    }
}

/// The running digest; zero before the first page.
struct LaunchDigest([u8; 48]);

impl LaunchDigest {
    /// The address VMSA pages are recorded under: all ones, cut to the page-aligned bits a physical address can have.
    const VMSA_GPA: u64 = 0xffff_ffff_f000;

    fn new() -> Self {
        Self([0; 48])
    }

    /// One page: the digest becomes SHA-384 of a PAGE_INFO structure that names the old digest.
    fn page(&mut self, page_type: PageType, gpa: u64, contents: &[u8; 48]) {
        const PAGE_INFO_LEN: u16 = 0x70;
        let mut page_info = crypto::Sha384Context::new();
        page_info.update(&self.0);
        page_info.update(contents);
        page_info.update(&PAGE_INFO_LEN.to_le_bytes());
        // Type, IMI_PAGE, the permissions of VMPL 3 to 1, and a reserved byte.
        page_info.update(&[page_type.encoding(), 0, 0, 0, 0, 0]);
        page_info.update(&gpa.to_le_bytes());
        self.0 = page_info.finish();
    }

    fn data_pages(&mut self, gpa: u64, data: &[u8]) {
        for (page, gpa) in data.chunks_exact(PAGE_LEN).zip((gpa..).step_by(PAGE_LEN)) {
            self.page(PageType::Normal, gpa, &crypto::sha384(page));
        }
    }

    /// Pages whose contents the digest does not cover.
    fn blank_pages(&mut self, page_type: PageType, section: &SevSection) {
        let start = u64::from(section.gpa);
        for gpa in (start..start.saturating_add(u64::from(section.size))).step_by(PAGE_LEN) {
            self.page(page_type, gpa, &[0; 48]);
        }
    }

    fn vmsa_page(&mut self, contents: &[u8; 48]) {
        self.page(PageType::Vmsa, Self::VMSA_GPA, contents);
    }
}

/// The pages the firmware's metadata asks for, in file order; EC2 adds the CPUID pages after all others.
fn metadata_pages(digest: &mut LaunchDigest, sections: &[SevSection], hashes_page: Option<&[u8; PAGE_LEN]>, vmm: Vmm) {
    let cpuid_last = matches!(vmm, Vmm::Ec2 | Vmm::Ec2RdxZero);
    for section in sections {
        match (section.kind, hashes_page) {
            (SevSectionKind::SecMemory, _) if vmm == Vmm::Gce => digest.blank_pages(PageType::Unmeasured, section),
            (SevSectionKind::Secrets, _) => digest.blank_pages(PageType::Secrets, section),
            (SevSectionKind::Cpuid, _) if cpuid_last => {}
            (SevSectionKind::Cpuid, _) => digest.blank_pages(PageType::Cpuid, section),
            (SevSectionKind::KernelHashes, Some(page)) => digest.data_pages(u64::from(section.gpa), page),
            (SevSectionKind::SecMemory | SevSectionKind::SvsmCallingArea | SevSectionKind::KernelHashes, _) => {
                digest.blank_pages(PageType::Zero, section);
            }
        }
    }
    if cpuid_last {
        for section in sections.iter().filter(|section| section.kind == SevSectionKind::Cpuid) {
            digest.blank_pages(PageType::Cpuid, section);
        }
    }
}
