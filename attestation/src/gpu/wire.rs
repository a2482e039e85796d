//! How a set of GPU evidence travels inside our own documents and bundles.
//!
//! Decides: the JSON form: binary members are base64, every member is there, none is unknown.

use serde::{Deserialize, Serialize};

use super::{GpuEndorsements, GpuEvidence, OcspAnswer};
use crate::digest::Hex32;
use crate::document::Base64;

/// [`GpuEvidence`] as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EvidenceJson {
    report: Base64,
    certificate_chain: Base64,
}

/// [`GpuEndorsements`] as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndorsementsJson {
    #[serde(deserialize_with = "Option::deserialize")]
    driver_rim: Option<Base64>,
    #[serde(deserialize_with = "Option::deserialize")]
    vbios_rim: Option<Base64>,
    ocsp: Vec<OcspJson>,
}

/// [`OcspAnswer`] as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OcspJson {
    response: Base64,
    #[serde(deserialize_with = "Option::deserialize")]
    nonce: Option<Hex32>,
}

impl From<EvidenceJson> for GpuEvidence {
    fn from(json: EvidenceJson) -> Self {
        Self { report: json.report.0, certificate_chain: json.certificate_chain.0 }
    }
}

impl From<GpuEvidence> for EvidenceJson {
    fn from(evidence: GpuEvidence) -> Self {
        Self { report: Base64(evidence.report), certificate_chain: Base64(evidence.certificate_chain) }
    }
}

impl From<EndorsementsJson> for GpuEndorsements {
    fn from(json: EndorsementsJson) -> Self {
        let answer =
            |answer: OcspJson| OcspAnswer { response: answer.response.0, nonce: answer.nonce.map(|hex| hex.0) };
        Self {
            driver_rim: json.driver_rim.map(|rim| rim.0),
            vbios_rim: json.vbios_rim.map(|rim| rim.0),
            ocsp: json.ocsp.into_iter().map(answer).collect(),
        }
    }
}

impl From<GpuEndorsements> for EndorsementsJson {
    fn from(endorsements: GpuEndorsements) -> Self {
        let answer =
            |answer: OcspAnswer| OcspJson { response: Base64(answer.response), nonce: answer.nonce.map(Hex32) };
        Self {
            driver_rim: endorsements.driver_rim.map(Base64),
            vbios_rim: endorsements.vbios_rim.map(Base64),
            ocsp: endorsements.ocsp.into_iter().map(answer).collect(),
        }
    }
}
