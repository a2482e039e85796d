//! NVIDIA GPUs in confidential-computing mode: reports, device chains, reference manifests and OCSP responses.
//!
//! Decides: whether devices are genuine, that is, signed a fresh nonce with a key NVIDIA (or a named root) vouches for;
//! whether they run what NVIDIA's signed manifests for their versions say; and whether the policy accepts them. H100 and
//! H200 (Hopper) are verified against captures; Blackwell's form is known from documentation only; third-generation
//! switches report in the same form.
//!
//! What a verdict does not say: a report names a device, not the virtual machine it is attached to. A nonce derived from
//! the machine's own evidence, and the evidence's digest inside that evidence, make relaying another genuine GPU's answer
//! pointless; both are the caller's to check. Claims therefore say *attested*, never *bound*. Developer-tools mode shows
//! as measurements that differ, and nowhere else.
//!
//! The paved path: [`GpuEvidence::list_from_json`] or the driver's bytes, [`appraise`], [`GpuClaims`]. A guardian that
//! collects endorsements may ask [`verify_rim`] and [`ocsp_is_good`] before it hands them out.

mod accept;
mod appraise;
mod architecture;
mod chain;
mod claims;
mod compare;
mod der;
mod evidence;
mod fwid;
mod ocsp;
mod opaque;
mod policy;
mod rejection;
mod remember;
mod rim;
mod spdm;
mod wire;

pub use appraise::appraise;
pub use architecture::Architecture;
pub use claims::{GpuClaims, GpuDevice};
pub use compare::RimKind;
pub use evidence::{GpuEndorsements, GpuEvidence, OcspAnswer};
pub use ocsp::{OcspRequest, requests as ocsp_requests, require_good as ocsp_is_good};
pub use opaque::OpaqueData;
pub use policy::FeatureMode;
pub use rejection::GpuRejection;
pub use remember::GpuCache;
pub use rim::{RimSummary, summarise as verify_rim};
pub use spdm::{GPU_REPORT_BYTES_MAX, GpuReport, MeasurementBlock};

pub(crate) use ocsp::Subject;
pub(crate) use policy::GpuItems;
