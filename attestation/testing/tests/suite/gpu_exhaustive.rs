//! Every bit of a captured report and every byte of a production manifest counts.

use attestation::gpu::{GpuReport, verify_rim};
use attestation::{RejectionClass, TrustRoots, UnixTime};

use crate::gpu_support::Case;
use crate::gpu_vectors::entries;
use crate::support::{CAPTURED_POLICY, code, parse_policy};

/// Bytes of an ECDSA P-384 signature.
const SIGNATURE_LEN: usize = 96;

/// The complete H100 capture under the policy for captures.
fn captured() -> Case {
    let entry = entries("nvidia/real/h100-pcie-545.00-FULL").remove(0);
    let case = entry.case(parse_policy(CAPTURED_POLICY));
    assert_eq!(code(&case.appraise()), "ok");
    case
}

/// Appraise with every bit of these bytes of the report turned, one at a time.
fn assert_no_bit_may_turn(bytes: impl Iterator<Item = usize>) {
    let mut case = captured();
    for at in bytes {
        for bit in 0..8 {
            case.evidence[0].report[at] ^= 1 << bit;
            assert_ne!(code(&case.appraise()), "ok", "byte {at}, bit {bit}");
            case.evidence[0].report[at] ^= 1 << bit;
        }
    }
    assert_eq!(code(&case.appraise()), "ok");
}

#[test]
fn exhaustive_every_bit_flip_in_the_first_half_of_a_report_is_refused() {
    assert_no_bit_may_turn(0..captured().evidence[0].report.len() / 2);
}

#[test]
fn exhaustive_every_bit_flip_in_the_second_half_of_a_report_is_refused() {
    let length = captured().evidence[0].report.len();
    assert_no_bit_may_turn(length / 2..length - SIGNATURE_LEN);
}

#[test]
fn exhaustive_every_bit_flip_in_the_signature_of_a_report_is_refused() {
    let length = captured().evidence[0].report.len();
    assert_no_bit_may_turn(length - SIGNATURE_LEN..length);
}

#[test]
fn exhaustive_every_truncation_of_a_report_is_malformed() {
    for entry in entries("nvidia/real/") {
        let case = entry.case(parse_policy(CAPTURED_POLICY));
        let report = &case.evidence[0].report;
        for length in 0..report.len() {
            let rejection = GpuReport::parse(&report[..length]).unwrap_err();
            assert_eq!(rejection.class(), RejectionClass::Malformed, "{}: {length} bytes: {rejection}", entry.id);
        }
        let mut case = case;
        case.evidence[0].report.truncate(1000);
        assert_eq!(case.appraise().unwrap_err().class(), RejectionClass::Malformed, "{}", entry.id);
    }
}

/// Another byte everywhere, and another white space everywhere: what canonical XML would forgive is not forgiven either.
#[test]
fn exhaustive_every_byte_of_a_manifest_counts() {
    let now = UnixTime(1_720_000_000);
    let roots = TrustRoots::vendor();
    let case = captured();
    let mut manifest = case.endorsements.driver_rim.unwrap();
    let verdict = |bytes: &[u8]| code(&verify_rim(bytes, &roots, now));
    assert_eq!(verdict(&manifest), "ok");
    for at in 0..manifest.len() {
        let byte = manifest[at];
        let alike: &[u8] = if matches!(byte, b' ' | b'\n' | b'"') { b" \n\t\r'\"" } else { &[] };
        let others = [byte ^ 1, byte ^ 0x20].into_iter().chain(alike.iter().copied());
        for other in others.filter(|other| *other != byte) {
            manifest[at] = other;
            assert_ne!(verdict(&manifest), "ok", "byte {at}: {byte:#x} → {other:#x}");
        }
        manifest[at] = byte;
    }
    assert_eq!(verdict(&manifest), "ok");
    for length in 0..manifest.len() - 1 {
        assert_ne!(verdict(&manifest[..length]), "ok", "{length} bytes");
    }
}
