//! Why an expected measurement cannot be computed.
//!
//! Decides: the vocabulary of failure here. A code never changes its meaning.

use super::ovmf::FIRMWARE_BYTES_MAX;
use super::snp::VCPUS_MAX;

/// Why an expected measurement cannot be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MeasureError {
    /// The firmware is empty, not whole pages, or larger than `FIRMWARE_BYTES_MAX`.
    #[error("firmware of {got} bytes: expected whole 4096-byte pages, at most {FIRMWARE_BYTES_MAX} bytes")]
    FirmwareSize {
        /// Its size.
        got: usize,
    },
    /// The image has no GUID-ed table before its reset vector.
    #[error("the firmware has no OVMF footer table")]
    FooterMissing,
    /// The GUID-ed table contradicts itself.
    #[error("the OVMF footer table is malformed: {detail}")]
    FooterMalformed {
        /// What is wrong.
        detail: &'static str,
    },
    /// The table lacks an entry the computation needs.
    #[error("the OVMF footer table has no {entry} entry")]
    EntryMissing {
        /// Name of the entry.
        entry: &'static str,
    },
    /// The SEV metadata contradicts itself or asks for something unknown.
    #[error("the SEV metadata is malformed: {detail}")]
    SevMetadata {
        /// What is wrong.
        detail: &'static str,
    },
    /// The TDVF metadata contradicts itself or asks for something unknown.
    #[error("the TDVF metadata is malformed: {detail}")]
    TdvfMetadata {
        /// What is wrong.
        detail: &'static str,
    },
    /// The sections describe more memory than any firmware needs.
    #[error("the metadata describes {got} pages, more than {maximum}")]
    TooManyPages {
        /// How many pages.
        got: u64,
        /// The limit.
        maximum: u64,
    },
    /// No such number of virtual CPUs.
    #[error("{got} virtual CPUs: expected 1 to {VCPUS_MAX}")]
    VcpuCount {
        /// The number asked for.
        got: u32,
    },
    /// No CPU model of this name, or no such stepping.
    #[error("unknown CPU model {got:?}")]
    CpuModel {
        /// What was asked for.
        got: String,
    },
    /// No virtual machine monitor of this name.
    #[error("unknown virtual machine monitor {got:?}")]
    Vmm {
        /// What was asked for.
        got: String,
    },
    /// SEV_FEATURES without SNPActive is not an SNP guest.
    #[error("guest features {got:#x} lack SNPActive (bit 0)")]
    GuestFeatures {
        /// The features.
        got: u64,
    },
    /// A command line cannot hold a zero byte: it ends there.
    #[error("the kernel command line holds a zero byte")]
    CommandLine,
    /// A kernel was given and the firmware has nowhere to take its hashes.
    #[error("a kernel was given, but the firmware has no kernel-hashes section")]
    KernelHashesSection,
    /// The table of kernel hashes does not lie inside its section.
    #[error("the kernel-hashes table does not fit its section")]
    KernelHashesTable,
    /// Several CPUs, and the firmware does not say where the others start.
    #[error("the firmware names no start address for application processors")]
    ResetVector,
    /// Not a PE image whose every byte a digest covers.
    #[error("the PE image is malformed: {detail}")]
    Pe {
        /// What is wrong.
        detail: &'static str,
    },
    /// A unified kernel image whose boot cannot be predicted.
    #[error("section {section} of the unified kernel image {problem}")]
    Uki {
        /// Which section.
        section: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// One row per variant: the compiler refuses a variant without a row.
macro_rules! codes {
    ($($variant:ident => $code:literal;)*) => {
        impl MeasureError {
            /// Every code there is.
            pub const CODES: &'static [&'static str] = &[$($code),*];

            /// Stable name of the reason.
            #[must_use]
            pub fn code(&self) -> &'static str {
                match self { $(Self::$variant { .. } => $code,)* }
            }
        }
    };
}

codes! {
    FirmwareSize => "measure.firmware_size";
    FooterMissing => "measure.footer_missing";
    FooterMalformed => "measure.footer_malformed";
    EntryMissing => "measure.entry_missing";
    SevMetadata => "measure.sev_metadata";
    TdvfMetadata => "measure.tdvf_metadata";
    TooManyPages => "measure.too_many_pages";
    VcpuCount => "measure.vcpu_count";
    CpuModel => "measure.cpu_model";
    Vmm => "measure.vmm";
    GuestFeatures => "measure.guest_features";
    CommandLine => "measure.command_line";
    KernelHashesSection => "measure.kernel_hashes_section";
    KernelHashesTable => "measure.kernel_hashes_table";
    ResetVector => "measure.reset_vector";
    Pe => "measure.pe";
    Uki => "measure.uki";
}
