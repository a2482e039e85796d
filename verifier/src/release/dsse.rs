//! DSSE v1 envelopes: a typed payload and Ed25519 signatures over both.
//!
//! Decides: whether the named signer signed exactly this payload as exactly this type. Key ids are hints and decide nothing;
//! signatures of others are ignored. Members that are not known are ignored, as the specification demands: the envelope's own
//! bytes are pinned by the log.

use attestation::{Base64, ReceiptKey, ReceiptPublicKey};
use serde::{Deserialize, Serialize};

use super::error::ReleaseError;

/// Most signatures that are tried.
const SIGNATURES_MAX: usize = 16;

#[derive(Serialize, Deserialize)]
struct Envelope {
    payload: Base64,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Serialize, Deserialize)]
struct Signature {
    #[serde(default)]
    keyid: String,
    sig: Base64,
}

/// Pre-authentication encoding: the bytes that are signed.
#[must_use]
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// The envelope of `payload`, signed by `key`. Deterministic.
#[must_use]
pub fn sign(payload_type: &str, payload: Vec<u8>, key: &ReceiptKey) -> Vec<u8> {
    let sig = Base64(key.sign(&pae(payload_type, &payload)).to_vec());
    let signatures = vec![Signature { keyid: key.key_id().to_owned(), sig }];
    let envelope = Envelope { payload: Base64(payload), payload_type: payload_type.to_owned(), signatures };
    serde_json::to_vec(&envelope).expect("invariant: texts are JSON")
}

/// The payload of an envelope, once `signer` is found to have signed it as `payload_type`.
///
/// # Errors
/// [`ReleaseError::Malformed`], [`ReleaseError::ProvenanceSignature`] or [`ReleaseError::ProvenanceType`].
pub fn open(envelope: &[u8], payload_type: &'static str, signer: &ReceiptPublicKey) -> Result<Vec<u8>, ReleaseError> {
    let Envelope { payload: Base64(payload), payload_type: got, signatures } =
        serde_json::from_slice(envelope).map_err(|error| ReleaseError::malformed("provenance", error))?;
    if signatures.len() > SIGNATURES_MAX {
        return Err(ReleaseError::malformed("provenance", "it has too many signatures"));
    }
    let signed = pae(&got, &payload);
    let is_signers = |signature: &Signature| {
        <[u8; 64]>::try_from(signature.sig.0.as_slice()).is_ok_and(|sig| signer.verify(&signed, &sig).is_ok())
    };
    if !signatures.iter().any(is_signers) {
        return Err(ReleaseError::ProvenanceSignature);
    }
    if got != payload_type {
        return Err(ReleaseError::ProvenanceType { item: "payloadType", got, expected: payload_type });
    }
    Ok(payload)
}
