//! Expected measurements: what a genuine launch of given bytes must report, and what a log adds up to.
//!
//! Decides: launch digests and register values, from bytes alone. Nothing here says whether evidence is genuine: the
//! caller compares what is computed here with the fields of a report or quote that was verified elsewhere.
//!
//! - [`ovmf`]: the tables inside an OVMF firmware image.
//! - [`snp`]: the SEV-SNP launch digest (MEASUREMENT of an attestation report).
//! - [`pe`]: Authenticode digests of PE images, which firmware measures before it starts them.
//! - [`uki`]: PCRs and RTMRs of a boot from a unified kernel image.
//! - [`tdx`]: MRTD of a TD whose firmware carries TDVF metadata.
//! - [`rtmr`]: the arithmetic of run-time measurement registers.
//! - [`eventlog`]: TCG and dstack event logs, and their replay to RTMRs and PCRs.

mod cpu;
mod error;
pub mod eventlog;
pub mod ovmf;
pub mod pe;
pub mod rtmr;
pub mod snp;
pub mod tdx;
pub mod uki;

pub use cpu::CpuModel;
pub use error::MeasureError;

/// The size of a page, the unit both architectures measure in.
pub(crate) const PAGE_LEN: usize = 4096;
