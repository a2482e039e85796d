//! The report's signature, over the bytes received (SNP ABI §7.3; table "ECDSA P-384 with SHA-384 Signature").
//!
//! Decides: whether the endorsement key signed these exact bytes. r and s are 72-byte little-endian fields; their
//! high bytes and everything after them must be zero, or one report would have many accepted encodings.

use crate::crypto;
use crate::rejection::Rejection;
use crate::snp::SnpReport;

/// Bytes of a P-384 scalar.
const SCALAR_LEN: usize = 48;

/// Verify `report` under the P-384 public key `vek_point` (uncompressed).
pub(crate) fn verify_signature(report: &SnpReport, vek_point: &[u8]) -> Result<(), Rejection> {
    let field = report.signature_field();
    let (r, s) = scalar(&field.r).zip(scalar(&field.s)).ok_or(Rejection::SignatureEncoding)?;
    if !field.rest_is_zero {
        return Err(Rejection::SignatureEncoding);
    }
    let mut fixed = [0_u8; 2 * SCALAR_LEN];
    for (slot, byte) in fixed.iter_mut().zip(r.iter().rev().chain(s.iter().rev())) {
        *slot = *byte;
    }
    crypto::verify_ecdsa_p384(vek_point, report.signed_bytes(), &fixed).map_err(|_| Rejection::ReportSignature)
}

/// The low 48 bytes of a scalar field, when the high ones are zero.
fn scalar(field: &[u8]) -> Option<&[u8; SCALAR_LEN]> {
    let (low, high) = field.split_first_chunk::<SCALAR_LEN>()?;
    high.iter().all(|byte| *byte == 0).then_some(low)
}
