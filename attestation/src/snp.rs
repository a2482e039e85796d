//! AMD SEV-SNP: reports, endorsement chains and signatures.
//!
//! Decides: whether a report is genuine, that is, signed by a key AMD (or a named root) vouches for, on the chip and
//! at the TCB the report names. Whether a genuine report is *acceptable* is the policy's business ([`crate::AppraisalPolicy`]).
//! Facts are from AMD publications 56860 (SNP Firmware ABI) and 57230 (VCEK/VLEK certificates).

pub(crate) mod accept;
mod appraise;
pub(crate) mod chain;
mod claims;
pub(crate) mod extensions;
pub(crate) mod policy;
mod product;
mod report;
mod tcb;
pub(crate) mod verify;

pub use appraise::{SnpCache, SnpClaims, appraise};
pub use product::Product;
pub use report::{Cpu, FirmwareVersion, KeyInformation, REPORT_LEN, SIGNED_LEN, SigningKey, SnpReport};
pub use tcb::{RawTcb, Tcb};
