//! A CoRIM in COSE_Sign1 (RFC 9052 §4.2, draft-ietf-rats-corim "Signed CoRIM"), signed with Ed25519.
//!
//! Decides: whether one of the trusted signers signed exactly these bytes as reference values. The signature covers the
//! payload as received; what it says is read only afterwards.

use super::ReferenceRejection;
use super::cbor::Value;
use crate::signing::{ReceiptKey, ReceiptPublicKey};

/// CBOR tag of COSE_Sign1.
const COSE_SIGN1: u64 = 18;

/// Protected header parameters (RFC 9052 table 3; draft-ietf-rats-corim, protected-corim-header-map).
const ALG: u64 = 1;
const CONTENT_TYPE: u64 = 3;
const KEY_ID: u64 = 4;
const CORIM_META: u64 = 8;

/// EdDSA, −8 (RFC 9053 table 2).
const EDDSA: Value = Value::Negative(7);

/// Media type of a CoRIM.
const CORIM_TYPE: &str = "application/rim+cbor";

/// Name of the signer in the metadata; which one it is, the key id says.
const SIGNER_NAME: &str = "cloister";

/// Sign `payload`.
pub(super) fn sign(payload: Vec<u8>, key: &ReceiptKey) -> Vec<u8> {
    let protected = protected(&key.public()).encode();
    let signature = key.sign(&to_be_signed(&protected, &payload));
    let parts =
        [Value::Bytes(protected), Value::Map(Vec::new()), Value::Bytes(payload), Value::Bytes(signature.to_vec())];
    Value::tag(COSE_SIGN1, Value::Array(parts.to_vec())).encode()
}

/// The payload and who of `signers` signed it.
pub(super) fn verify(
    bytes: &[u8],
    signers: &[ReceiptPublicKey],
) -> Result<(Vec<u8>, ReceiptPublicKey), ReferenceRejection> {
    let malformed = |detail| ReferenceRejection::Malformed { detail };
    let message = Value::decode(bytes).map_err(malformed)?;
    let parts = message.as_tagged(COSE_SIGN1).and_then(Value::as_array);
    let Some([Value::Bytes(protected), Value::Map(unprotected), Value::Bytes(payload), Value::Bytes(signature)]) =
        parts
    else {
        return Err(malformed("it is not a COSE_Sign1 message"));
    };
    if !unprotected.is_empty() {
        return Err(malformed("it has unprotected header parameters, which nobody signed"));
    }
    let signature: [u8; 64] =
        signature.as_slice().try_into().map_err(|_| malformed("the signature has not 64 bytes"))?;
    let header = Value::decode(protected).map_err(malformed)?;
    let key_id = header.get(KEY_ID).and_then(Value::as_bytes);
    let key_id = key_id.filter(|id| id.len() == KEY_ID_LEN).ok_or_else(|| malformed("it names no signing key"))?;
    let signer = signers.iter().find(|signer| self::key_id(signer) == key_id);
    let signer = *signer.ok_or_else(|| ReferenceRejection::SignerUnknown { key_id: hex::encode(key_id) })?;
    // A header says nothing but which key: there is one algorithm, and one thing to sign.
    if header != self::protected(&signer) {
        return Err(malformed("the protected header is not that of reference values signed with Ed25519"));
    }
    signer
        .verify(&to_be_signed(protected, payload), &signature)
        .map_err(|_| ReferenceRejection::Signature { signer })?;
    Ok((payload.clone(), signer))
}

/// Bytes of a key id.
const KEY_ID_LEN: usize = 16;

/// The id a key has in the header: the bytes of [`ReceiptPublicKey::key_id`].
fn key_id(key: &ReceiptPublicKey) -> Vec<u8> {
    hex::decode(key.key_id()).expect("invariant: a key id is hexadecimal")
}

fn protected(key: &ReceiptPublicKey) -> Value {
    let meta = Value::numbered([(0, Value::numbered([(0, Value::text(SIGNER_NAME))]))]);
    Value::numbered([
        (ALG, EDDSA),
        (CONTENT_TYPE, Value::text(CORIM_TYPE)),
        (KEY_ID, Value::Bytes(key_id(key))),
        (CORIM_META, Value::Bytes(meta.encode())),
    ])
}

/// Sig_structure (RFC 9052 §4.4), without external data.
fn to_be_signed(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    Value::Array(vec![
        Value::text("Signature1"),
        Value::Bytes(protected.to_vec()),
        Value::Bytes(Vec::new()),
        Value::Bytes(payload.to_vec()),
    ])
    .encode()
}
