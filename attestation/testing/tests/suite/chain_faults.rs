//! Faults of the endorsement chain, and chains that differ from the usual one and are still right.

use attestation::snp::{Product, SigningKey, Tcb};
use attestation::{AssuranceClass, DEMO_POLICY, UnixTime};
use attestation_testing::{AcceptedCase, Issuer, SignatureScheme, SubjectKey};

use crate::one_fault::Row;
use crate::one_fault::Spoil::{Case, Document};
use crate::support::{appraise_case, appraise_document, code, parse_policy, pki, snp_of, with_item};

const PAST: UnixTime = UnixTime(1_704_067_200);
const SOON: UnixTime = UnixTime(1_798_761_600);
const LATER: UnixTime = UnixTime(2_493_072_000);

pub(crate) fn rows() -> Vec<Row> {
    vec![
        ("chain.malformed", Document(|document| snp_of(document).vek.0.push(0))),
        ("chain.malformed", Document(|document| snp_of(document).intermediate.0.clear())),
        // The outer tag and algorithm are not signed; they have one form all the same.
        ("chain.malformed", Document(|document| snp_of(document).vek.0[0] ^= 0x40)),
        ("chain.malformed", Document(|document| snp_of(document).intermediate.0[0] ^= 0x80)),
        ("chain.malformed", Document(|document| snp_of(document).crl.as_mut().unwrap().0[0] ^= 0x20)),
        ("chain.root_unknown", Document(|document| snp_of(document).root.0.clear())),
        ("chain.root_unknown", Document(|document| snp_of(document).root.0[40] ^= 1)),
        ("chain.name", Case(|case| case.vek.common_name = "SEV-ASK".to_owned())),
        ("chain.name", Case(|case| case.vek.issuer_name = Issuer::Ark)),
        // A VCEK under the VLEK intermediate: right key, wrong role.
        (
            "chain.name",
            Case(|case| {
                case.intermediate = case.pki.asvk_der().to_vec();
                case.vek.issuer_name = Issuer::Asvk;
            }),
        ),
        ("chain.algorithm", Case(|case| case.vek.scheme = SignatureScheme::PssSha256)),
        ("chain.algorithm", Case(|case| case.vek.scheme = SignatureScheme::Pkcs1Sha384)),
        ("chain.key", Case(|case| case.vek.key = SubjectKey::LabelledP256)),
        ("chain.signature", Case(|case| case.vek.signed_by = Issuer::Ark)),
        ("chain.signature", Document(|document| flip_last(&mut snp_of(document).vek.0))),
        ("chain.signature", Document(|document| flip_last(&mut snp_of(document).intermediate.0))),
        ("chain.not_yet_valid", Case(|case| case.vek.not_before = SOON)),
        ("chain.not_yet_valid", Case(|case| case.intermediate = case.pki.ca_der(Issuer::Ask, SOON, LATER, true))),
        ("chain.expired", Case(|case| case.vek.not_after = UnixTime(case.now.0 - 1))),
        (
            "chain.expired",
            Case(|case| case.intermediate = case.pki.ca_der(Issuer::Ask, PAST, UnixTime(PAST.0 + 1), true)),
        ),
        ("chain.role", Case(|case| case.vek.is_ca = true)),
        ("chain.role", Case(|case| case.intermediate = case.pki.ca_der(Issuer::Ask, PAST, LATER, false))),
        ("chain.critical_extension", Case(|case| case.vek.unknown_critical_extension = true)),
        ("chain.extension_missing", Case(|case| case.vek.hwid = None)),
        ("chain.extension_missing", Case(|case| case.vek.tcb = None)),
        ("chain.extension_missing", Case(|case| case.vek.product_name = None)),
        ("chain.extension_malformed", Case(|case| case.vek.product_name = Some("Rome".to_owned()))),
        ("chain.product_mismatch", Case(|case| case.vek.product_name = Some("Milan".to_owned()))),
        ("chain.product_mismatch", Case(|case| case.report.cpu.as_mut().unwrap().model = 0x01)),
        ("chain.signing_key_mismatch", Case(|case| case.report.set_signing_key(SigningKey::Vlek))),
        ("chain.tcb_mismatch", Case(|case| certify(case, |tcb| tcb.microcode += 1))),
        ("chain.tcb_mismatch", Case(|case| certify(case, |tcb| tcb.snp -= 1))),
        ("chain.tcb_mismatch", Case(|case| certify(case, |tcb| tcb.boot_loader += 1))),
        ("chain.tcb_mismatch", Case(|case| certify(case, |tcb| tcb.tee += 1))),
        ("chain.chip_id_mismatch", Case(|case| case.report.chip_id[63] ^= 1)),
        ("chain.chip_id_mismatch", Case(|case| case.report.chip_id = [0; 64])),
        // A key for a masked chip would match a masked report: neither names a chip.
        (
            "chain.chip_id_mismatch",
            Case(|case| {
                case.report.chip_id = [0; 64];
                case.vek.hwid = Some(vec![0; 64]);
            }),
        ),
        ("chain.chip_id_mismatch", Case(|case| case.vek.hwid.as_mut().unwrap().truncate(8))),
    ]
}

fn flip_last(der: &mut [u8]) {
    *der.last_mut().unwrap() ^= 1;
}

fn certify(case: &mut AcceptedCase<'_>, fault: fn(&mut Tcb)) {
    fault(case.vek.tcb.as_mut().unwrap());
}

#[test]
fn a_turin_chain_has_its_own_layout() {
    let turin = pki().reissued(Product::Turin, "SIMULATED").unwrap();
    let case = AcceptedCase::new(&turin);
    let appraisal = appraise_case(&case).unwrap();
    assert_eq!(appraisal.product(), "Turin");
    assert_eq!(appraisal.tcb(), "fmc 1 bl 3 tee 2 snp 5 ucode 81");
    assert!(appraisal.machine_id().ends_with(&"0".repeat(112)), "{}", appraisal.machine_id());

    let mut wrong_fmc = AcceptedCase::new(&turin);
    wrong_fmc.vek.tcb.as_mut().unwrap().fmc = Some(2);
    assert_eq!(code(&appraise_case(&wrong_fmc)), "chain.tcb_mismatch");
    let mut no_fmc = AcceptedCase::new(&turin);
    no_fmc.vek.tcb.as_mut().unwrap().fmc = None;
    assert_eq!(code(&appraise_case(&no_fmc)), "chain.extension_missing");
    let mut long_chip_id = AcceptedCase::new(&turin);
    long_chip_id.report.chip_id[8] = 1;
    assert_eq!(code(&appraise_case(&long_chip_id)), "chain.chip_id_mismatch");
}

#[test]
fn milan_is_genuine_and_still_refused() {
    let milan = pki().reissued(Product::Milan, "SIMULATED").unwrap();
    let case = AcceptedCase::new(&milan);
    assert_eq!(code(&appraise_case(&case)), "snp.product_not_allowed");
    let policy = with_item(DEMO_POLICY, "snp.report.products", r#"["Milan"]"#);
    // The strict policy has no floor for Milan either.
    assert_eq!(code(&appraise_document(&case, &case.document(), &parse_policy(&policy))), "snp.tcb_floor_missing");
}

#[test]
fn a_vlek_names_a_provider_and_no_chip() {
    let policy = with_item(DEMO_POLICY, "snp.report.signing_keys", r#"["vlek"]"#);
    let policy = with_item(&policy, "snp.report.vlek_csp_ids", r#"["CN=cc-test.example.com"]"#);
    let policy = parse_policy(&policy);
    let mut case = AcceptedCase::new(pki());
    case.report.set_signing_key(SigningKey::Vlek);
    case.report.chip_id = [0; 64];
    case.vek = case.pki.vlek(case.report.reported_tcb, "CN=cc-test.example.com");
    case.intermediate = case.pki.asvk_der().to_vec();
    let appraisal = appraise_document(&case, &case.document(), &policy).unwrap();
    assert_eq!(appraisal.machine_id(), "0".repeat(128));

    case.vek.csp_id = Some("CN=cc-other.example.com".to_owned());
    assert_eq!(code(&appraise_document(&case, &case.document(), &policy)), "snp.csp_not_allowed");
    case.vek.csp_id = None;
    assert_eq!(code(&appraise_document(&case, &case.document(), &policy)), "chain.extension_missing");
}

#[test]
fn a_stepping_behind_the_product_name_is_the_same_product() {
    let mut case = AcceptedCase::new(pki());
    case.vek.product_name = Some("Genoa-B1".to_owned());
    assert_eq!(appraise_case(&case).unwrap().product(), "Genoa");
    case.vek.product_name = Some("GenoaB1".to_owned());
    assert_eq!(code(&appraise_case(&case)), "chain.extension_malformed");
}

#[test]
fn an_unmarked_chain_is_a_custom_root() {
    let unmarked = pki().reissued(Product::Genoa, "").unwrap();
    let appraisal = appraise_case(&AcceptedCase::new(&unmarked)).unwrap();
    assert_eq!(appraisal.assurance(), AssuranceClass::CustomRoot);
    let marked = appraise_case(&AcceptedCase::new(pki())).unwrap();
    assert_eq!(marked.assurance(), AssuranceClass::Simulated);
}

#[test]
fn validity_includes_both_ends() {
    let mut case = AcceptedCase::new(pki());
    case.vek.not_before = case.now;
    case.vek.not_after = case.now;
    appraise_case(&case).unwrap();
    case.vek.not_before = UnixTime(case.now.0 + 1);
    case.vek.not_after = UnixTime(case.now.0 + 1);
    assert_eq!(code(&appraise_case(&case)), "chain.not_yet_valid");
}
