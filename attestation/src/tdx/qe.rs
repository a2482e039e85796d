//! The quoting enclave: who signed its report, what it vouches for, and whether it is Intel's (Intel TDX DCAP Quote
//! Generation Library; PCS API v4, "Get TDX QE Identity").
//!
//! Decides: whether the attestation key of a quote was made by Intel's TD quoting enclave. Trusts the PCK and the
//! identity it is given, which are verified.

use crate::crypto::{self, Sha256Context};
use crate::tdx::statements::{IsvTcb, Level, QeIdentity};
use crate::tdx::{QeReport, TdQuote, TdxRejection};

/// The debug flag of ATTRIBUTES, byte 0: such an enclave's keys are known to whoever debugs it.
const ATTRIBUTE_DEBUG: u8 = 0x02;

/// Verify that the PCK signed the enclave's report.
pub(crate) fn verify_report_signature(quote: &TdQuote, pck_point: &[u8]) -> Result<(), TdxRejection> {
    crypto::verify_ecdsa_p256(pck_point, quote.qe_report_bytes(), &quote.qe_report_signature)
        .map_err(|_| TdxRejection::QeReportSignature)
}

/// Verify that the enclave vouches for the attestation key: SHA-256 of key and authentication data, then zeros.
pub(crate) fn verify_binding(quote: &TdQuote) -> Result<(), TdxRejection> {
    let mut context = Sha256Context::new();
    context.update(&quote.attestation_key);
    context.update(&quote.qe_auth_data);
    let bound = quote
        .qe_report
        .report_data
        .split_first_chunk::<32>()
        .is_some_and(|(digest, rest)| *digest == context.finish() && rest.iter().all(|byte| *byte == 0));
    if bound { Ok(()) } else { Err(TdxRejection::QeReportData) }
}

/// Verify that the attestation key signed header and body, as received.
pub(crate) fn verify_quote_signature(quote: &TdQuote) -> Result<(), TdxRejection> {
    const UNCOMPRESSED: u8 = 0x04;
    let mut point = [UNCOMPRESSED; 65];
    for (slot, byte) in point.iter_mut().skip(1).zip(quote.attestation_key) {
        *slot = byte;
    }
    crypto::verify_ecdsa_p256(&point, quote.signed_bytes(), &quote.signature).map_err(|_| TdxRejection::QuoteSignature)
}

/// Hold the enclave against its identity; the first level whose security version it has.
pub(crate) fn verify_identity<'a>(
    report: &QeReport,
    identity: &'a QeIdentity,
) -> Result<&'a Level<IsvTcb>, TdxRejection> {
    let [flags, ..] = report.attributes;
    if flags & ATTRIBUTE_DEBUG != 0 {
        return Err(TdxRejection::QeDebug);
    }
    if report.mr_signer != identity.mrsigner.0 {
        return Err(TdxRejection::QeMrSigner { got: hex::encode(report.mr_signer) });
    }
    if report.isv_prod_id != identity.isvprodid {
        return Err(TdxRejection::QeIsvProdId { got: report.isv_prod_id, expected: identity.isvprodid });
    }
    // Identities write MISCSELECT with its first byte first, as the report has it.
    if !equal_under_mask(&report.misc_select, &identity.miscselect_mask.0, &identity.miscselect.0) {
        return Err(TdxRejection::QeMiscSelect { got: hex::encode(report.misc_select) });
    }
    if !equal_under_mask(&report.attributes, &identity.attributes_mask.0, &identity.attributes.0) {
        return Err(TdxRejection::QeAttributes { got: hex::encode(report.attributes) });
    }
    let got = report.isv_svn;
    identity.tcb_levels.iter().find(|level| got >= level.tcb.isvsvn).ok_or(TdxRejection::QeNoLevel { got })
}

fn equal_under_mask(got: &[u8], mask: &[u8], wanted: &[u8]) -> bool {
    got.iter().zip(mask).map(|(got, mask)| got & mask).eq(wanted.iter().copied())
}
