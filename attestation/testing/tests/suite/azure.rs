//! Azure vTPM evidence: five captures verify, and each check has a twin that fails it alone. The hardware report inside
//! is not appraised here, so a changed report can be re-bound to changed claims to reach the checks behind.

use std::fs;

use attestation::RejectionClass;
use attestation::UnixTime;
use attestation::azure::{
    AkTrust, AzureRejection, HCL_REPORT_LEN, HardwareEvidence, HclReport, NONCE_BYTES_MAX, RuntimeClaims, TpmQuote,
    VerifiedVtpm, VtpmEvidence, verify_vtpm,
};
use attestation::snp::SnpReport;
use aws_lc_rs::digest;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use crate::support::vectors;

pub(crate) const SNP: &str = "snp-milan-v1";
const TDX: &str = "tdx-flashbots-1764662251";

/// Where an HCL report keeps its parts.
const REPORT_AT: usize = 32;
const CLAIMS_HEADER_AT: usize = REPORT_AT + 1184;
const CLAIMS_AT: usize = CLAIMS_HEADER_AT + 20;
const SNP_REPORT_DATA_AT: usize = REPORT_AT + 0x50;
/// REPORTDATA in a quote of version 4.
const QUOTE_REPORT_DATA_AT: usize = 48 + 520;

/// 2025-12-02, inside the dates of the certificate that came with [`TDX`].
const CAPTURED: UnixTime = UnixTime(1_764_662_251);

#[derive(Deserialize)]
struct Entry {
    id: String,
    nonce: String,
    hardware: String,
}

fn entries() -> Vec<Entry> {
    serde_json::from_slice(&fs::read(vectors().join("azure-vtpm/index.json")).unwrap()).unwrap()
}

fn json(name: &str) -> Vec<u8> {
    fs::read(vectors().join("azure-vtpm").join(name).join("evidence.json")).unwrap()
}

pub(crate) fn evidence(name: &str) -> VtpmEvidence {
    VtpmEvidence::from_json(&json(name)).unwrap()
}

fn nonce(name: &str) -> Vec<u8> {
    let entries = entries();
    let entry = entries.iter().find(|entry| entry.id.ends_with(name)).unwrap();
    hex::decode(&entry.nonce).unwrap()
}

fn verify(name: &str, evidence: &VtpmEvidence) -> Result<VerifiedVtpm, AzureRejection> {
    verify_vtpm(evidence, &nonce(name), AkTrust::HardwareReport)
}

/// The code a capture is refused with after a change.
fn refused(name: &str, change: impl FnOnce(&mut VtpmEvidence)) -> &'static str {
    let mut evidence = evidence(name);
    change(&mut evidence);
    verify(name, &evidence).unwrap_err().code()
}

fn trust(name: &str) -> Vec<u8> {
    fs::read(vectors().join("trust/azure").join(name)).unwrap()
}

fn root() -> Vec<u8> {
    trust("azure-virtual-tpm-root-2023.der")
}

fn intermediate() -> Vec<u8> {
    trust("global-virtual-tpm-ca-03.der")
}

fn certified(evidence: &VtpmEvidence, intermediates: &[&[u8]], roots: &[&[u8]], now: UnixTime) -> &'static str {
    let trust = AkTrust::Certificate { roots, intermediates, now };
    verify_vtpm(evidence, &nonce(TDX), trust).map_or_else(
        |error| error.code(),
        |verified| {
            assert!(verified.ak_certified);
            "ok"
        },
    )
}

/// Put other claims into an SNP capture, and bind the (now worthless) report to them.
pub(crate) fn with_claims(evidence: &mut VtpmEvidence, change: impl FnOnce(&str) -> String) {
    let claims = HclReport::parse(&evidence.hcl_report).unwrap().runtime_claims;
    let claims = change(std::str::from_utf8(&claims).unwrap()).into_bytes();
    let hcl = &mut evidence.hcl_report;
    let length = u32::try_from(claims.len()).unwrap();
    hcl[8..12].copy_from_slice(&(length + 32 + 1184 + 20).to_le_bytes());
    hcl[CLAIMS_HEADER_AT..][..4].copy_from_slice(&(length + 20).to_le_bytes());
    hcl[CLAIMS_HEADER_AT + 16..][..4].copy_from_slice(&length.to_le_bytes());
    hcl[CLAIMS_AT..].fill(0);
    hcl[CLAIMS_AT..][..claims.len()].copy_from_slice(&claims);
    let hash = digest::digest(&digest::SHA256, &claims);
    hcl[SNP_REPORT_DATA_AT..][..32].copy_from_slice(hash.as_ref());
}

#[test]
fn every_capture_verifies_and_hands_on_its_hardware_evidence() {
    let entries = entries();
    assert_eq!(entries.len(), 5);
    for entry in entries {
        let name = entry.id.strip_prefix("azure-vtpm/").unwrap();
        let evidence = evidence(name);
        let verified = verify(name, &evidence).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(verified.pcrs.iter().map(|(index, _)| *index).collect::<Vec<_>>(), (0..24).collect::<Vec<_>>());
        assert!(verified.claims.vm_configuration.tpm_enabled && !verified.ak_certified);
        assert_eq!(verified.quote.qualifying_data, nonce(name));
        match &verified.hardware {
            HardwareEvidence::Snp { report, vcek } => {
                assert_eq!(entry.hardware, "SNP");
                assert_eq!(SnpReport::parse(report).unwrap().report_data[32..], [0; 32]);
                assert!(vcek.is_some());
            }
            HardwareEvidence::Tdx { quote } => {
                assert_eq!(entry.hardware, "TDX");
                // The provider fills its buffer up with zeros; the quote is what stands before them.
                let padding = evidence.td_quote.as_ref().unwrap().strip_prefix(quote.as_slice()).unwrap();
                assert!(padding.len() == 70 && padding.iter().all(|byte| *byte == 0), "{padding:?}");
                attestation::tdx::TdQuote::parse(quote).unwrap();
                let spoilt = refused(name, |evidence| *evidence.td_quote.as_mut().unwrap().last_mut().unwrap() = 1);
                assert_eq!(spoilt, "azure.td_quote_malformed");
            }
        }
    }
}

#[test]
fn facts_of_the_captures_are_those_they_were_taken_with() {
    let v2 = verify("snp-milan-v2", &evidence("snp-milan-v2")).unwrap();
    assert_eq!(v2.claims.vm_configuration.vm_unique_id, "7DF7B373-B947-4AAA-96E5-C358F2A03D20");
    assert_eq!(v2.claims.user_data[..48], nonce("snp-milan-v2"));
    assert!(v2.claims.vm_configuration.secure_boot && v2.claims.vm_configuration.tpm_persisted.is_none());
    let tdx = verify(TDX, &evidence(TDX)).unwrap();
    assert!(!tdx.claims.vm_configuration.secure_boot);
    assert_eq!(tdx.claims.vm_configuration.tpm_persisted, Some(true));
    assert_eq!((tdx.quote.reset_count, tdx.quote.restart_count, tdx.quote.clock_safe), (2, 0, true));
    assert_eq!(tdx.claims.ak_exponent, [1, 0, 1]);
}

#[test]
fn only_the_expected_nonce_is_answered() {
    for entry in entries() {
        let name = entry.id.strip_prefix("azure-vtpm/").unwrap();
        let evidence = evidence(name);
        let expected = nonce(name);
        let code = |nonce: &[u8]| verify_vtpm(&evidence, nonce, AkTrust::HardwareReport).unwrap_err().code();
        let mut other = expected.clone();
        other[0] ^= 1;
        let longer = [expected.as_slice(), &[0]].concat();
        assert_eq!(code(&other), "azure.nonce_mismatch");
        assert_eq!(code(&longer), "azure.nonce_mismatch");
        assert_eq!(code(&expected[1..]), "azure.nonce_mismatch");
        assert_eq!(code(&[]), "azure.nonce_length");
        assert_eq!(code(&[0; NONCE_BYTES_MAX + 1]), "azure.nonce_length");
    }
}

#[test]
fn a_change_of_the_quote_or_its_signature_breaks_the_signature() {
    for name in [SNP, TDX] {
        let length = evidence(name).tpm_quote.signature.len();
        for at in [0, length / 2, length - 1] {
            assert_eq!(refused(name, |evidence| evidence.tpm_quote.signature[at] ^= 1), "azure.quote_signature");
        }
        assert_eq!(refused(name, |evidence| evidence.tpm_quote.signature.clear()), "azure.quote_signature");
        // The nonce, a bit of the clock, the PCR digest: all are signed, so the signature fails before they are compared.
        let message = evidence(name).tpm_quote.message;
        let nonce_at = 6 + 2 + 34 + 2;
        for at in [8, nonce_at, message.len() - 50, message.len() - 1] {
            assert_eq!(refused(name, |evidence| evidence.tpm_quote.message[at] ^= 1), "azure.quote_signature", "{at}");
        }
    }
}

#[test]
fn a_structure_that_is_no_quote_over_sha256_pcrs_is_refused_by_name() {
    let end = evidence(SNP).tpm_quote.message.len();
    let selection = end - 34 - 10;
    let spoilt: [(usize, &[u8], &str); 10] = [
        (0, &[0xfe], "azure.quote_magic"),
        (4, &[0x80, 0x17], "azure.quote_type"),
        (6, &[0xff, 0xff], "azure.quote_malformed"),
        (selection, &[0, 0, 0, 2], "azure.pcr_selection"),
        (selection + 4, &[0, 4], "azure.pcr_selection"),
        (selection + 6, &[4], "azure.pcr_selection"),
        (selection + 7, &[0, 0, 0], "azure.pcr_selection"),
        (end - 34, &[0, 31], "azure.quote_malformed"),
        (end - 34, &[0, 33], "azure.quote_malformed"),
        (selection - 9, &[2], "azure.quote_malformed"),
    ];
    for (at, bytes, expected) in spoilt {
        let change =
            |evidence: &mut VtpmEvidence| evidence.tpm_quote.message[at..][..bytes.len()].copy_from_slice(bytes);
        assert_eq!(refused(SNP, change), expected, "at {at}");
    }
    assert_eq!(refused(SNP, |evidence| evidence.tpm_quote.message.push(0)), "azure.quote_malformed");
}

#[test]
fn the_pcrs_are_the_quoted_ones_in_their_order() {
    for name in [SNP, TDX] {
        for index in 0..24 {
            assert_eq!(refused(name, |evidence| evidence.tpm_quote.pcrs[index][31] ^= 1), "azure.pcr_digest");
        }
        assert_eq!(refused(name, |evidence| evidence.tpm_quote.pcrs.swap(0, 1)), "azure.pcr_digest");
        assert_eq!(refused(name, |evidence| evidence.tpm_quote.pcrs.truncate(23)), "azure.pcr_count");
        assert_eq!(refused(name, |evidence| evidence.tpm_quote.pcrs.push([0; 32])), "azure.pcr_count");
    }
}

#[test]
fn the_hardware_report_is_bound_to_every_byte_of_the_claims() {
    for name in [SNP, TDX] {
        let claims = HclReport::parse(&evidence(name).hcl_report).unwrap().runtime_claims.len();
        for at in [0, claims / 2, claims - 1] {
            assert_eq!(refused(name, |evidence| evidence.hcl_report[CLAIMS_AT + at] ^= 1), "azure.claims_not_bound");
        }
    }
    let report_data = |at: usize| refused(SNP, |evidence| evidence.hcl_report[SNP_REPORT_DATA_AT + at] ^= 1);
    let td_report_data = |at: usize| refused(TDX, |evidence| evidence.hcl_report[REPORT_AT + 128 + at] ^= 1);
    let quoted =
        |at: usize| refused(TDX, |evidence| evidence.td_quote.as_mut().unwrap()[QUOTE_REPORT_DATA_AT + at] ^= 1);
    for at in [0, 31, 32, 63] {
        assert_eq!([report_data(at), td_report_data(at), quoted(at)], ["azure.claims_not_bound"; 3], "{at}");
    }
}

#[test]
fn parts_of_two_machines_do_not_mix() {
    let (other, tdx) = (evidence("snp-milan-v2"), evidence("tdx-v1"));
    let own_nonce = nonce(SNP);
    let mut mixed = evidence(SNP);
    mixed.hcl_report = other.hcl_report.clone();
    let refusal = verify_vtpm(&mixed, &own_nonce, AkTrust::HardwareReport).unwrap_err();
    assert_eq!(refusal, AzureRejection::QuoteSignature);
    assert_eq!(refused(TDX, |evidence| evidence.td_quote = tdx.td_quote.clone()), "azure.claims_not_bound");
    assert_eq!(refused(TDX, |evidence| evidence.td_quote = None), "azure.td_quote_missing");
    assert_eq!(refused(TDX, |evidence| evidence.vcek = other.vcek.clone()), "azure.hardware_mixed");
    assert_eq!(refused(SNP, |evidence| evidence.td_quote = tdx.td_quote.clone()), "azure.hardware_mixed");
    let quote = |change: fn(&mut Vec<u8>)| refused(TDX, |evidence| change(evidence.td_quote.as_mut().unwrap()));
    assert_eq!(quote(|quote| quote.truncate(48 + 583)), "azure.td_quote_malformed");
    assert_eq!(quote(|quote| quote[0] = 3), "azure.td_quote_malformed");
    assert_eq!(quote(|quote| quote[4] = 0), "azure.td_quote_malformed");
}

#[test]
fn report_data_is_found_in_quotes_of_both_versions() {
    let version_5 = |body: [u8; 6]| {
        let mut evidence = evidence(TDX);
        let quote = evidence.td_quote.as_mut().unwrap();
        quote[0] = 5;
        quote.splice(48..48, body);
        if body[0] == 3 {
            quote.splice(48 + 6 + 584..48 + 6 + 584, [0; 64]);
        }
        verify(TDX, &evidence).map(|verified| verified.pcrs.len()).map_err(|error| error.code())
    };
    assert_eq!(version_5([2, 0, 0x48, 2, 0, 0]), Ok(24));
    assert_eq!(version_5([3, 0, 0x88, 2, 0, 0]), Ok(24));
    assert_eq!(version_5([1, 0, 0x80, 1, 0, 0]), Err("azure.td_quote_malformed"));
    assert_eq!(version_5([2, 0, 0x88, 2, 0, 0]), Err("azure.td_quote_malformed"));
}

#[test]
fn spoiled_hcl_reports_are_refused_by_name() {
    let spoilt: [(usize, u8, &str, RejectionClass); 13] = [
        (0, b'X', "azure.hcl_malformed", RejectionClass::Malformed),
        (4, 3, "azure.hcl_unsupported", RejectionClass::Unsupported),
        (8, 0, "azure.hcl_malformed", RejectionClass::Malformed),
        (12, 1, "azure.hcl_unsupported", RejectionClass::Unsupported),
        (16, 1, "azure.hcl_status", RejectionClass::Rejected),
        (20, 1, "azure.hcl_malformed", RejectionClass::Malformed),
        (31, 1, "azure.hcl_malformed", RejectionClass::Malformed),
        (CLAIMS_HEADER_AT, 0, "azure.hcl_malformed", RejectionClass::Malformed),
        (CLAIMS_HEADER_AT + 4, 2, "azure.hcl_unsupported", RejectionClass::Unsupported),
        (CLAIMS_HEADER_AT + 8, 3, "azure.hcl_unsupported", RejectionClass::Unsupported),
        (CLAIMS_HEADER_AT + 12, 2, "azure.hcl_unsupported", RejectionClass::Unsupported),
        (CLAIMS_HEADER_AT + 19, 0xff, "azure.hcl_malformed", RejectionClass::Malformed),
        (HCL_REPORT_LEN - 1, 1, "azure.hcl_malformed", RejectionClass::Malformed),
    ];
    for (at, value, expected, class) in spoilt {
        let mut evidence = evidence(SNP);
        evidence.hcl_report[at] = value;
        let rejection = verify(SNP, &evidence).unwrap_err();
        assert_eq!((rejection.code(), rejection.class()), (expected, class), "at {at}");
    }
    assert_eq!(refused(TDX, |evidence| evidence.hcl_report[REPORT_AT] = 0), "azure.hcl_malformed");
    assert_eq!(refused(TDX, |evidence| evidence.hcl_report[REPORT_AT + 1024] = 1), "azure.hcl_malformed");
    // A report of the other kind has its REPORT_DATA elsewhere.
    assert_eq!(refused(SNP, |evidence| evidence.hcl_report[CLAIMS_HEADER_AT + 8] = 4), "azure.hcl_malformed");
}

#[test]
fn only_one_rsa_signing_key_named_as_attestation_key_is_used() {
    let claims = |from: &'static str, to: &'static str| {
        refused(SNP, |evidence| {
            with_claims(evidence, |claims| {
                assert!(claims.contains(from), "{from}");
                claims.replacen(from, to, 1)
            });
        })
    };
    let mut unchanged = evidence(SNP);
    with_claims(&mut unchanged, str::to_owned);
    assert_eq!(unchanged, evidence(SNP));
    assert_eq!(claims("HCLAkPub", "HCLOther"), "azure.ak_key");
    assert_eq!(claims("HCLEkPub", "HCLAkPub"), "azure.ak_key");
    assert_eq!(claims(r#"["sign"]"#, r#"["encrypt"]"#), "azure.ak_key");
    assert_eq!(claims(r#""kty":"RSA""#, r#""kty":"EC""#), "azure.ak_key");
    assert_eq!(claims(r#""e":"AQAB""#, r#""e":"AAEAAQ""#), "azure.ak_key");
    assert_eq!(claims(r#""e":"AQAB""#, r#""e":"""#), "azure.ak_key");
    assert_eq!(claims(r#""n":""#, r#""n":"AA"#), "azure.ak_key");
    // Another key of the right form did not sign the quote.
    assert_eq!(claims(r#""e":"AQAB""#, r#""e":"AAAD""#), "azure.ak_key");
    assert_eq!(claims(r#""e":"AQAB""#, r#""e":"Aw""#), "azure.quote_signature");
    assert_eq!(claims(r#""kid""#, r#""kit""#), "azure.claims_malformed");
    assert_eq!(claims(r#""user-data":"00"#, r#""user-data":""#), "azure.claims_malformed");
    assert_eq!(claims(r#""tpm-enabled":true"#, r#""tpm-enabled":true,"tpm-enabled":true"#), "azure.claims_malformed");
    assert_eq!(claims(r#"{"keys":"#, r#"{"more":1,"keys":"#), "azure.claims_malformed");
}

#[test]
fn the_attestation_key_certificate_chains_to_the_providers_root() {
    let evidence = evidence(TDX);
    let (root, intermediate) = (root(), intermediate());
    assert_eq!(certified(&evidence, &[&intermediate], &[&root], CAPTURED), "ok");
    assert_eq!(certified(&evidence, &[&root, &intermediate], &[&intermediate, &root], CAPTURED), "ok");
    // No root, the wrong one, no way to it.
    assert_eq!(certified(&evidence, &[&intermediate], &[], CAPTURED), "azure.ak_certificate_chain");
    assert_eq!(certified(&evidence, &[], &[&root], CAPTURED), "azure.ak_certificate_chain");
    let leaf = evidence.ak_certificate.as_deref().unwrap();
    assert_eq!(certified(&evidence, &[&intermediate], &[leaf], CAPTURED), "azure.ak_certificate_chain");
    // Dates of the leaf (2025-12-01 to 2026-11-30) and of the intermediate (from 2025-04-24).
    for now in [0, 1_764_547_199, 1_796_000_000, 4_102_444_800] {
        assert_eq!(certified(&evidence, &[&intermediate], &[&root], UnixTime(now)), "azure.ak_certificate_dates");
    }
}

#[test]
fn spoiled_certificates_are_refused_by_name() {
    let (root, intermediate) = (root(), intermediate());
    let spoilt = |change: &dyn Fn(&mut VtpmEvidence)| {
        let mut evidence = evidence(TDX);
        change(&mut evidence);
        certified(&evidence, &[&intermediate], &[&root], CAPTURED)
    };
    let leaf = evidence(TDX).ak_certificate.unwrap();
    let length = 4 + usize::from(u16::from_be_bytes([leaf[2], leaf[3]]));
    let patched = |at: usize| {
        spoilt(&|evidence| {
            evidence.ak_certificate.as_mut().unwrap()[at] ^= 1;
        })
    };
    assert_eq!(spoilt(&|evidence| evidence.ak_certificate = None), "azure.ak_certificate_missing");
    assert_eq!(spoilt(&|evidence| evidence.ak_certificate = Some(vec![])), "azure.ak_certificate_malformed");
    assert_eq!(patched(0), "azure.ak_certificate_malformed");
    assert_eq!(patched(length), "azure.ak_certificate_malformed");
    assert_eq!(patched(length - 1), "azure.ak_certificate_chain");
    // The algorithm beside the signature, which the signature does not cover.
    assert_eq!(patched(length - 256 - 5 - 3), "azure.ak_certificate_algorithm");
    // An authority's certificate is not an attestation key's.
    let authority = intermediate.clone();
    assert_eq!(spoilt(&|evidence| evidence.ak_certificate = Some(authority.clone())), "azure.ak_certificate_role");
    // A genuine certificate of another machine's key.
    let mut other = evidence("tdx-v1");
    other.ak_certificate = Some(leaf.clone());
    let (roots, intermediates): ([&[u8]; 1], [&[u8]; 1]) = ([&root], [&intermediate]);
    let trust = AkTrust::Certificate { roots: &roots, intermediates: &intermediates, now: CAPTURED };
    let refusal = verify_vtpm(&other, &nonce("tdx-v1"), trust).unwrap_err();
    assert_eq!(refusal.code(), "azure.ak_certificate_key");
    let garbage: [&[u8]; 1] = [&[0x30, 0x00]];
    assert_eq!(certified(&evidence(TDX), &garbage, &[&root], CAPTURED), "azure.ak_certificate_malformed");
}

#[test]
fn every_truncation_is_refused() {
    for entry in entries() {
        let name = entry.id.strip_prefix("azure-vtpm/").unwrap();
        let evidence = evidence(name);
        for length in 0..evidence.hcl_report.len() {
            assert_eq!(HclReport::parse(&evidence.hcl_report[..length]).unwrap_err().code(), "azure.hcl_length");
        }
        let message = &evidence.tpm_quote.message;
        for length in 0..message.len() {
            assert!(TpmQuote::parse(&message[..length]).is_err(), "{name} at {length}");
        }
        let claims = HclReport::parse(&evidence.hcl_report).unwrap().runtime_claims;
        for length in 0..claims.len() {
            assert_eq!(RuntimeClaims::parse(&claims[..length]).unwrap_err().code(), "azure.claims_malformed");
        }
        let json = json(name);
        let end = json.iter().rposition(|byte| *byte == b'}').unwrap();
        for length in 0..end {
            assert_eq!(VtpmEvidence::from_json(&json[..length]).unwrap_err().code(), "azure.evidence_malformed");
        }
    }
}

#[test]
fn unknown_forms_of_the_json_are_refused_by_name() {
    let with = |name: &str, path: &[&str], value: Value| {
        let mut document: Value = serde_json::from_slice(&json(name)).unwrap();
        let mut place = &mut document;
        for member in path {
            place = &mut place[*member];
        }
        *place = value;
        VtpmEvidence::from_json(&serde_json::to_vec(&document).unwrap()).unwrap_err().code()
    };
    assert_eq!(with(SNP, &["version"], 3.into()), "azure.evidence_version");
    assert_eq!(with("snp-milan-live", &["platform"], "az-new".into()), "azure.evidence_version");
    assert_eq!(with("snp-milan-live", &["platform"], "az-tdx".into()), "azure.evidence_malformed");
    assert_eq!(with("snp-milan-live", &["evidence", "more"], 1.into()), "azure.evidence_malformed");
    assert_eq!(with(SNP, &["more"], 1.into()), "azure.evidence_malformed");
    assert_eq!(with(SNP, &["tpm_quote", "more"], 1.into()), "azure.evidence_malformed");
    assert_eq!(with(SNP, &["tpm_quote", "message"], "0".into()), "azure.evidence_malformed");
    assert_eq!(with(SNP, &["tpm_quote", "signature"], "zz".into()), "azure.evidence_malformed");
    assert_eq!(with(SNP, &["tpm_quote", "pcrs"], vec!["00"].into()), "azure.evidence_malformed");
    assert_eq!(with(SNP, &["tpm_quote", "pcrs"], vec!["00".repeat(32); 25].into()), "azure.evidence_malformed");
    assert_eq!(with(SNP, &["hcl_report"], "+/".into()), "azure.evidence_malformed");
    assert_eq!(VtpmEvidence::from_json(&vec![b' '; (256 << 10) + 1]).unwrap_err().code(), "azure.evidence_too_large");
}

#[test]
fn codes_are_distinct_and_named_alike() {
    let mut codes = AzureRejection::codes().to_vec();
    assert!(codes.iter().all(|code| code.starts_with("azure.")));
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), AzureRejection::codes().len());
}

proptest! {
    #[test]
    fn no_changed_byte_of_hcl_report_or_quote_is_accepted_or_makes_the_parsers_panic(
        hcl_at in 0..HCL_REPORT_LEN,
        quote_at in 0_usize..122,
        bit in 0_u8..8,
    ) {
        let mut changed = evidence(SNP);
        changed.tpm_quote.message[quote_at] ^= 1 << bit;
        prop_assert!(verify(SNP, &changed).is_err());
        let original = evidence(SNP);
        let mut changed = original.clone();
        changed.hcl_report[hcl_at] ^= 1 << bit;
        // Most of the hardware report is for its own signature to protect: here it is only handed on, changed.
        let in_report = (REPORT_AT..CLAIMS_HEADER_AT).contains(&hcl_at);
        match verify(SNP, &changed) {
            Ok(verified) => {
                prop_assert!(in_report || (4..8).contains(&hcl_at), "{hcl_at}");
                prop_assert!(!in_report || verified.hardware != verify(SNP, &original).unwrap().hardware);
            }
            Err(error) => prop_assert!(error.code().starts_with("azure.")),
        }
    }
}
