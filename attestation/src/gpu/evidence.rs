//! What is appraised: reports with their chains, and the endorsements that come beside them.
//!
//! Decides: the JSON form evidence is exchanged in (NVIDIA's serialized evidence). Nothing is genuine on exit.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::digest::decode_hex;
use crate::gpu::policy::DEVICES_MAX;
use crate::gpu::wire::{EndorsementsJson, EvidenceJson};
use crate::gpu::{GPU_REPORT_BYTES_MAX, GpuRejection};

/// Most characters of one device's evidence: report and chain in base64, with room for the rest.
const JSON_BYTES_PER_DEVICE_MAX: usize = 32 * 1024;

/// What one device says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "EvidenceJson", into = "EvidenceJson")]
pub struct GpuEvidence {
    /// SPDM GET_MEASUREMENTS request and response, as the driver returns them.
    pub report: Vec<u8>,
    /// The device's certificates, leaf first, PEM.
    pub certificate_chain: Vec<u8>,
}

/// What NVIDIA says about a set of devices with one driver version and one VBIOS version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "EndorsementsJson", into = "EndorsementsJson")]
pub struct GpuEndorsements {
    /// The driver's manifest, XML.
    pub driver_rim: Option<Vec<u8>>,
    /// The VBIOS's manifest, XML; of switches, their BIOS's.
    pub vbios_rim: Option<Vec<u8>>,
    /// OCSP responses about certificates of the devices and of the manifests' signers.
    pub ocsp: Vec<OcspAnswer>,
}

/// An OCSP response and the nonce of the request it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OcspAnswer {
    /// DER.
    pub response: Vec<u8>,
    /// When one was sent; the response must then repeat it.
    pub nonce: Option<[u8; 32]>,
}

/// One device's evidence in JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Json {
    arch: String,
    nonce: String,
    evidence: String,
    certificate: String,
}

impl GpuEvidence {
    /// Read evidence in JSON: one object of `arch`, `nonce` (hex), `evidence` and `certificate` (base64), or a list.
    /// The labels `arch` and `nonce` prove nothing; they must be plausible and are dropped.
    ///
    /// # Errors
    /// `gpu.evidence_malformed`; `gpu.architecture_unknown` for a label no device of ours has.
    pub fn list_from_json(bytes: &[u8]) -> Result<Vec<Self>, GpuRejection> {
        let malformed = GpuRejection::EvidenceMalformed;
        if bytes.len() > JSON_BYTES_PER_DEVICE_MAX.saturating_mul(DEVICES_MAX) {
            return Err(malformed);
        }
        let is_list = bytes.trim_ascii_start().starts_with(b"[");
        let list: Vec<Json> = if is_list {
            serde_json::from_slice(bytes).map_err(|_| malformed.clone())?
        } else {
            vec![serde_json::from_slice(bytes).map_err(|_| malformed.clone())?]
        };
        if list.is_empty() || list.len() > DEVICES_MAX {
            return Err(malformed);
        }
        list.into_iter().map(Self::from_json).collect()
    }

    fn from_json(json: Json) -> Result<Self, GpuRejection> {
        if !matches!(json.arch.as_str(), "HOPPER" | "BLACKWELL" | "LS10") {
            return Err(GpuRejection::ArchitectureUnknown { got: json.arch });
        }
        let nonce: [u8; 32] = decode_hex(&json.nonce).map_err(|_| GpuRejection::EvidenceMalformed)?;
        let report = STANDARD.decode(json.evidence).map_err(|_| GpuRejection::EvidenceMalformed)?;
        let certificate_chain = STANDARD.decode(json.certificate).map_err(|_| GpuRejection::EvidenceMalformed)?;
        // The request's nonce follows its four-byte header.
        let consistent = report.get(4..).is_some_and(|rest| rest.starts_with(&nonce));
        if !consistent || report.len() > GPU_REPORT_BYTES_MAX {
            return Err(GpuRejection::EvidenceMalformed);
        }
        Ok(Self { report, certificate_chain })
    }
}
