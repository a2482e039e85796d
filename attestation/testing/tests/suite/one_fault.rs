//! One accepted case, one fault per row, the exact code of the refusal; and every code must have a row.

use std::collections::BTreeSet;

use attestation::gpu::GpuEndorsements;
use attestation::snp::{Cpu, FirmwareVersion, SigningKey, Tcb};
use attestation::{
    AttestationDocument, ChannelView, DEMO_POLICY, DOCUMENT_BYTES_MAX, Exporter, GpuSection, Hex32, Keyset, Nonce,
    Rejection, Role, TlsKeyEntry, Transcript, UnixTime,
};
use attestation_testing::{AcceptedCase, CrlSpec, Issuer};

use crate::chain_faults;
use crate::support::{code, demo_policy, parse_policy, pki, roots_of, snp_of, with_item};

/// What one row spoils.
pub(crate) enum Spoil {
    /// Something before the report is signed.
    Case(fn(&mut AcceptedCase<'_>)),
    /// Something in the finished document.
    Document(fn(&mut AttestationDocument)),
    /// Something in the document's JSON text.
    Json(fn(String) -> String),
    /// What the client knows about its own channel.
    View(fn(&mut ChannelView)),
    /// An item of the policy: the evidence is unchanged, the demand is not.
    Policy(&'static str, &'static str),
    /// The policy as a whole.
    PolicyText(fn(&str) -> String),
    /// An item of the policy, and a case that meets everything but that.
    PolicyAndCase(&'static str, &'static str, fn(&mut AcceptedCase<'_>)),
}

use Spoil::{Case, Document, Json, Policy, PolicyAndCase, PolicyText, View};

pub(crate) type Row = (&'static str, Spoil);

/// The whole way: JSON text, document, appraisal, channel.
fn run(spoil: &Spoil) -> Result<(), Rejection> {
    let mut case = AcceptedCase::new(pki());
    let mut policy = demo_policy();
    match spoil {
        Case(fault) => fault(&mut case),
        Policy(item, value) => policy = parse_policy(&with_item(DEMO_POLICY, item, value)),
        PolicyText(fault) => policy = parse_policy(&fault(DEMO_POLICY)),
        PolicyAndCase(item, value, fault) => {
            policy = parse_policy(&with_item(DEMO_POLICY, item, value));
            fault(&mut case);
        }
        Document(_) | Json(_) | View(_) => {}
    }
    let mut document = case.document();
    if let Document(fault) = spoil {
        fault(&mut document);
    }
    let mut text = String::from_utf8(document.to_json()).unwrap();
    if let Json(fault) = spoil {
        text = fault(text);
    }
    let mut view = case.view;
    if let View(fault) = spoil {
        fault(&mut view);
    }
    let mut transcript = Transcript::new();
    let document = AttestationDocument::from_json(text.as_bytes())?;
    let appraisal = attestation::appraise(&document, &roots_of(case.pki), &policy, case.now, &mut transcript)?;
    appraisal.bind_channel(&view, &mut transcript)?;
    Ok(())
}

fn floor_minus(fault: fn(&mut Tcb)) -> impl Fn(&mut AcceptedCase<'_>) {
    move |case| {
        let mut tcb = case.report.reported_tcb;
        fault(&mut tcb);
        case.report.set_tcb(tcb);
        case.vek = case.pki.vcek(tcb);
    }
}

fn document_rows() -> Vec<Row> {
    vec![
        ("document.too_large", Json(|text| text + &" ".repeat(DOCUMENT_BYTES_MAX))),
        ("document.malformed", Json(|text| text.replacen("\"role\"", "\"rôle\"", 1))),
        ("document.malformed", Json(|text| text.replacen('{', "{\"extra\":0,", 1))),
        ("document.malformed", Json(|text| text.replacen("{\"version\"", "{\"role\":\"tls\",\"version\"", 1))),
        ("document.malformed", Json(|text| text.replacen(",\"gpu\":null", "", 1))),
        ("document.malformed", Json(|text| text + "{}")),
        ("document.version", Document(|document| document.version = "cloister/attestation/v2".to_owned())),
        ("document.evidence_format", Json(|text| text.replacen("sev-snp-report/v1", "sev-snp-report/v2", 1))),
        (
            "policy.platform_refused",
            Document(|document| {
                document.gpu = Some(GpuSection {
                    random: Hex32([7; 32]),
                    epoch: 1,
                    evidence: Vec::new(),
                    endorsements: GpuEndorsements::default(),
                });
            }),
        ),
    ]
}

fn report_rows() -> Vec<Row> {
    vec![
        ("snp.length", Document(|document| document.evidence.report.0.push(0))),
        ("snp.length", Document(|document| document.evidence.report.0.truncate(1183))),
        ("snp.length", Document(|document| document.evidence.report.0.clear())),
        ("snp.version", Case(|case| case.report.version = 4)),
        ("snp.version", Case(|case| case.report.version = 6)),
        ("snp.signature_algorithm", Case(|case| case.report.signature_algo = 2)),
        ("snp.reserved_not_zero", Case(|case| case.report.overwrite.push((0x4c, 1)))),
        ("snp.reserved_not_zero", Case(|case| case.report.overwrite.push((0x48, 0x20)))),
        ("snp.reserved_not_zero", Case(|case| case.report.overwrite.push((0x18b, 1)))),
        ("snp.reserved_not_zero", Case(|case| case.report.overwrite.push((0x1eb, 1)))),
        ("snp.reserved_not_zero", Case(|case| case.report.overwrite.push((0x208, 1)))),
        ("snp.reserved_not_zero", Case(|case| case.report.overwrite.push((0x29f, 1)))),
        // Byte 2 of a TCB has a meaning on Turin only.
        ("snp.reserved_not_zero", Case(|case| case.report.overwrite.push((0x3a, 1)))),
        ("snp.signing_key_none", Case(|case| case.report.signing_key = 7)),
        ("snp.signing_key_unknown", Case(|case| case.report.signing_key = 2)),
        ("snp.chip_key_masked", Case(|case| case.report.mask_chip_key = true)),
        ("snp.cpu_unknown", Case(|case| case.report.cpu = Some(Cpu { family: 0x19, model: 0x20, stepping: 1 }))),
        ("snp.cpu_unknown", Case(|case| case.report.cpu = None)),
        ("snp.signature", Document(|document| document.evidence.report.0[0x50] ^= 1)),
        ("snp.signature", Document(|document| document.evidence.report.0[0x90] ^= 1)),
        ("snp.signature", Document(|document| document.evidence.report.0[0x2a0] ^= 1)),
        ("snp.signature", Document(|document| document.evidence.report.0[0x2a0..].fill(0))),
        ("snp.signature_encoding", Document(|document| document.evidence.report.0[0x2a0 + 48] = 1)),
        ("snp.signature_encoding", Document(|document| document.evidence.report.0[0x2a0 + 72 + 71] = 1)),
        ("snp.signature_encoding", Document(|document| document.evidence.report.0[0x49f] = 1)),
    ]
}

fn origin_rows() -> Vec<Row> {
    vec![
        ("snp.version_not_allowed", Case(|case| case.report.version = 3)),
        (
            "policy.platform_refused",
            PolicyText(|policy| {
                let (start, end) = (policy.find("[snp.report]").unwrap(), policy.find("[tdx.quote]").unwrap());
                format!("{}snp = \"refused\"\n{}", &policy[..start], &policy[end..])
            }),
        ),
        ("evidence.part_missing", Policy("required_parts", r#"["cpu", "gpu"]"#)),
        ("snp.product_not_allowed", Policy("snp.report.products", r#"["Turin"]"#)),
        ("snp.signing_key_not_allowed", Policy("snp.report.signing_keys", r#"["vlek"]"#)),
        (
            "snp.csp_not_allowed",
            PolicyAndCase("snp.report.signing_keys", r#"["vlek"]"#, |case| {
                case.report.set_signing_key(SigningKey::Vlek);
                case.vek = case.pki.vlek(case.report.reported_tcb, "CN=cc-test.example.com");
                case.intermediate = case.pki.asvk_der().to_vec();
            }),
        ),
        ("snp.host_requested", Case(|case| case.report.vmpl = u32::MAX)),
        ("snp.host_requested", PolicyAndCase("snp.report.vmpl", "\"unchecked\"", |case| case.report.vmpl = u32::MAX)),
        ("snp.vmpl", Case(|case| case.report.vmpl = 1)),
        ("snp.launch_digest", Case(|case| case.report.measurement[47] ^= 1)),
        ("snp.launch_digest", Policy("snp.report.launch_digests", "[]")),
        ("snp.host_data", PolicyAndCase("snp.report.host_data", ZERO_32, |case| case.report.host_data[0] = 1)),
        ("snp.guest_svn", PolicyAndCase("snp.report.guest_svn_min", "2", |case| case.report.guest_svn = 1)),
        ("snp.family_id", PolicyAndCase("snp.report.family_ids", ZERO_16, |case| case.report.family_id[0] = 1)),
        ("snp.image_id", PolicyAndCase("snp.report.image_ids", ZERO_16, |case| case.report.image_id[15] = 1)),
        ("snp.id_key", PolicyAndCase("snp.report.id_key_digests", ZERO_48, |case| case.report.id_key_digest[0] = 1)),
        (
            "snp.author_key",
            PolicyAndCase("snp.report.author_key_digests", ZERO_48, |case| case.report.author_key_digest[0] = 1),
        ),
        ("snp.chip_not_allowed", Policy("snp.report.chip_ids", "[]")),
    ]
}

const ZERO_16: &str = r#"["00000000000000000000000000000000"]"#;
const ZERO_32: &str = r#"["0000000000000000000000000000000000000000000000000000000000000000"]"#;
const ZERO_48: &str =
    r#"["000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"]"#;

fn guest_policy_rows() -> Vec<Row> {
    vec![
        ("snp.policy_reserved_bit", Case(|case| case.report.policy &= !(1 << 17))),
        ("snp.policy_unknown_bits", Case(|case| case.report.policy |= 1 << 26)),
        ("snp.policy_unknown_bits", Case(|case| case.report.policy |= 1 << 63)),
        ("snp.debug_allowed", Case(|case| case.report.policy |= 1 << 19)),
        ("snp.migration_agent", Case(|case| case.report.policy |= 1 << 18)),
        ("snp.migration_agent", Case(|case| case.report.report_id_ma = [0; 32])),
        ("snp.smt_allowed", Case(|case| case.report.policy |= 1 << 16)),
        ("snp.single_socket", Policy("snp.guest.single_socket", "\"required\"")),
        ("snp.cxl_allowed", Case(|case| case.report.policy |= 1 << 21)),
        ("snp.aes_256_xts", Policy("snp.guest.aes_256_xts", "\"required\"")),
        ("snp.rapl", Case(|case| case.report.policy &= !(1 << 23))),
        ("snp.ciphertext_hiding", Case(|case| case.report.policy &= !(1 << 24))),
        ("snp.page_swap", Case(|case| case.report.policy &= !(1 << 25))),
        ("snp.abi_too_old", Case(|case| case.report.policy -= 1)),
        ("snp.abi_too_old", Case(|case| case.report.policy &= !0xff00)),
    ]
}

fn platform_rows() -> Vec<Row> {
    vec![
        ("snp.platform", Case(|case| case.report.platform_info |= 1)),
        ("snp.platform", Case(|case| case.report.platform_info &= !(1 << 2))),
        ("snp.platform", Case(|case| case.report.platform_info &= !(1 << 3))),
        ("snp.platform", Case(|case| case.report.platform_info &= !(1 << 4))),
        ("snp.platform", Case(|case| case.report.platform_info &= !(1 << 5))),
        ("snp.platform", Policy("snp.platform.tsme", "\"required\"")),
        (
            "snp.platform",
            PolicyAndCase("snp.platform.tio", "\"forbidden\"", |case| case.report.platform_info |= 1 << 7),
        ),
    ]
}

fn firmware_rows() -> Vec<Row> {
    vec![
        ("snp.tcb_order", Case(|case| case.report.current_tcb.microcode -= 1)),
        ("snp.tcb_order", Case(|case| case.report.committed_tcb.snp += 1)),
        ("snp.provisional_firmware", Case(|case| case.report.current_tcb.snp += 1)),
        (
            "snp.provisional_firmware",
            Case(|case| case.report.current_version = FirmwareVersion { major: 1, minor: 55, build: 66 }),
        ),
        ("snp.tcb_too_old", Case(|case| floor_minus(|tcb| tcb.boot_loader -= 1)(case))),
        ("snp.tcb_too_old", Case(|case| floor_minus(|tcb| tcb.snp -= 1)(case))),
        ("snp.tcb_too_old", Case(|case| floor_minus(|tcb| tcb.microcode -= 1)(case))),
        ("snp.tcb_too_old", Case(|case| case.report.launch_tcb.snp -= 1)),
        (
            "snp.tcb_too_old",
            PolicyAndCase("snp.tcb.provisional", "\"unchecked\"", |case| case.report.committed_tcb.microcode -= 1),
        ),
        ("snp.tcb_floor_missing", Case(|case| case.report.cpu = Some(Cpu { family: 0x19, model: 0xa0, stepping: 2 }))),
        ("snp.mitigation_missing", Case(|case| case.report.launch_mit_vector = 0x0f)),
        ("snp.mitigation_missing", Case(|case| case.report.current_mit_vector &= !2)),
    ]
}

fn keyset_rows() -> Vec<Row> {
    vec![
        ("keyset.digest_mismatch", Document(|document| document.keyset.not_after.0 -= 1)),
        ("keyset.unusable", Case(|case| case.keyset.receipt_signing_keys.clear())),
        ("keyset.unusable", Case(|case| case.keyset.tls_public_keys.clear())),
        ("keyset.unusable", Case(|case| case.keyset.receipt_signing_keys[0].algo = "rsa".to_owned())),
        ("keyset.unusable", Case(|case| case.keyset.receipt_signing_keys[0].public_key.push('0'))),
        ("keyset.unusable", Case(|case| repeat_first_key(&mut case.keyset))),
        ("keyset.expired", Case(|case| case.keyset.not_after = case.now)),
        ("keyset.lifetime", Case(|case| case.keyset.not_after = case.now.saturating_add(7 * 24 * 3600 + 1))),
    ]
}

fn repeat_first_key(keyset: &mut Keyset) {
    let first = keyset.receipt_signing_keys[0].clone();
    keyset.receipt_signing_keys.push(first);
}

fn channel_rows() -> Vec<Row> {
    vec![
        ("channel.role", Case(|case| case.role = Role::Ohttp)),
        ("channel.role", Document(|document| document.role = Role::Keyset)),
        ("channel.nonce_mismatch", View(|view| view.nonce = Nonce([0x12; 32]))),
        ("channel.nonce_mismatch", Document(|document| document.nonce = Nonce([0x12; 32]))),
        ("channel.batch_path", Document(|document| document.batch.leaf_index = 1)),
        ("channel.batch_path", Document(|document| document.batch.tree_size = 0)),
        ("channel.batch_path", Document(|document| document.batch.path.push(Hex32([0; 32])))),
        ("channel.batch_path", Document(|document| document.batch.tree_size = 2)),
        ("channel.report_data_mismatch", View(|view| view.exporter = Exporter([0x23; 32]))),
        ("channel.report_data_mismatch", View(|view| view.leaf_spki_sha256[0] ^= 1)),
        (
            "channel.report_data_mismatch",
            Document(|document| {
                document.keyset.subject = Some("someone else".to_owned());
                document.keyset_digest = document.keyset.digest();
            }),
        ),
        (
            "channel.report_data_mismatch",
            Document(|document| {
                document.batch.tree_size = 2;
                document.batch.path.push(Hex32([0; 32]));
            }),
        ),
        ("channel.report_data_mismatch", Case(|case| case.keep_report_data = true)),
        (
            "channel.spki_not_in_keyset",
            Case(|case| {
                case.keyset.tls_public_keys = vec![TlsKeyEntry { spki_sha256: Hex32([0x34; 32]), domain: None }];
            }),
        ),
    ]
}

fn revocation_rows() -> Vec<Row> {
    vec![
        ("crl.missing", Case(|case| case.crl = None)),
        ("crl.revoked", Case(|case| set_crl(case, |crl| crl.revoked_serials = vec![1, 0x51_0001]))),
        ("crl.revoked", Case(|case| set_crl(case, |crl| crl.revoked_serials = vec![0x51_0000]))),
        ("crl.not_yet_valid", Case(|case| set_crl(case, |crl| crl.this_update.0 += 10 * 24 * 3600))),
        ("crl.expired", Case(|case| set_crl(case, |crl| crl.next_update = Some(UnixTime(crl.this_update.0 + 60))))),
        ("crl.too_old", Case(|case| set_crl(case, |crl| crl.this_update.0 -= 401 * 24 * 3600))),
        ("chain.malformed", Case(|case| set_crl(case, |crl| crl.next_update = None))),
        ("chain.malformed", Document(|document| snp_of(document).crl.as_mut().unwrap().0.push(0))),
        ("chain.name", Case(|case| set_crl(case, |crl| crl.issuer_name = Issuer::Ask))),
        ("chain.signature", Case(|case| set_crl(case, |crl| crl.signed_by = Issuer::Ask))),
        ("chain.critical_extension", Case(|case| set_crl(case, |crl| crl.partitioned = true))),
    ]
}

fn set_crl(case: &mut AcceptedCase<'_>, fault: impl Fn(&mut CrlSpec)) {
    let mut crl = CrlSpec::empty(UnixTime(case.now.0 - 24 * 3600));
    // Long enough that only the fault decides.
    crl.next_update = Some(UnixTime(case.now.0 + 24 * 3600));
    fault(&mut crl);
    case.crl = Some(crl);
}

fn all_rows() -> Vec<Row> {
    let mut rows = document_rows();
    rows.extend(report_rows());
    rows.extend(chain_faults::rows());
    rows.extend(revocation_rows());
    rows.extend(origin_rows());
    rows.extend(guest_policy_rows());
    rows.extend(platform_rows());
    rows.extend(firmware_rows());
    rows.extend(keyset_rows());
    rows.extend(channel_rows());
    rows
}

#[test]
fn the_unspoiled_case_is_accepted() {
    run(&Case(|_| {})).unwrap();
}

#[test]
fn each_fault_has_exactly_its_code() {
    let mut wrong = Vec::new();
    for (position, (expected, spoil)) in all_rows().iter().enumerate() {
        let result = run(spoil);
        if code(&result) != *expected {
            wrong.push(format!("row {position}: expected {expected}, got {result:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_code_has_a_row() {
    let covered: BTreeSet<&str> = all_rows().iter().map(|(code, _)| *code).collect();
    let all: BTreeSet<&str> = Rejection::codes().into_iter().collect();
    assert_eq!(all.len(), Rejection::codes().len(), "codes are unique");
    // TDX and GPU evidence and reference values have tables of their own, each with its own such test; files are told apart
    // in `evidence`.
    let elsewhere = |code: &&str| {
        code.starts_with("evidence.")
            || code.starts_with("tdx.")
            || code.starts_with("gpu.")
            || code.starts_with("azure.")
            || code.starts_with("reference.")
            || *code == "chain.length"
            // What the caller's side of an envelope finds: `channel::envelopes_are_bound_to_one_key_of_the_keyset`.
            || *code == "channel.no_envelope_key"
    };
    let missing: Vec<_> = all.difference(&covered).filter(|code| !elsewhere(code)).collect();
    assert!(missing.is_empty(), "codes without a row: {missing:?}");
}
