//! Roots: the embedded ones are AMD's, a named one is what its bytes say, and a simulated one says so.

use attestation::snp::SigningKey;
use attestation::{
    AssuranceClass, NAMED_ROOTS_MAX, Product, RootError, Sha256Digest, Transcript, TrustRoots, vendor_certificates,
};
use attestation_testing::{AcceptedCase, Issuer, TestPki};

use crate::support::{appraise_case, code, demo_policy, pki, snp_of, vectors};

const README: &str = include_str!("../../../roots/README.md");

#[test]
fn embedded_certificates_are_the_listed_ones() {
    for product in [Product::Milan, Product::Genoa, Product::Turin] {
        for (kind, prefix) in [(SigningKey::Vcek, "SEV"), (SigningKey::Vlek, "SEV-VLEK")] {
            let vendor = vendor_certificates(product, kind);
            for (name, der) in
                [(format!("ARK-{product}"), vendor.root), (format!("{prefix}-{product}"), vendor.intermediate)]
            {
                let row = format!("| `amd/{name}.der` | `{}` |", Sha256Digest::of(der).to_hex());
                assert!(README.contains(&row), "{row}");
            }
        }
    }
}

#[test]
fn vendor_roots_refuse_simulated_evidence() {
    let case = AcceptedCase::new(pki());
    let document = case.document();
    let result =
        attestation::appraise(&document, &TrustRoots::vendor(), &demo_policy(), case.now, &mut Transcript::new());
    assert_eq!(code(&result), "chain.root_unknown");
    // Naming AMD's root instead of its own does not help: the intermediate is not AMD's.
    let mut document = document;
    snp_of(&mut document).root.0 = vendor_certificates(Product::Genoa, SigningKey::Vcek).root.to_vec();
    let result =
        attestation::appraise(&document, &TrustRoots::vendor(), &demo_policy(), case.now, &mut Transcript::new());
    assert_eq!(code(&result), "chain.name");
}

/// The attacker's chain has AMD's names, byte for byte; only the signatures differ.
#[test]
fn vendor_roots_refuse_chains_with_the_right_names() {
    let pki = vectors().join("trust/synthetic-amd/Genoa");
    let mut document = AcceptedCase::new(crate::support::pki()).document();
    snp_of(&mut document).root.0 = vendor_certificates(Product::Genoa, SigningKey::Vcek).root.to_vec();
    snp_of(&mut document).intermediate.0 = std::fs::read(pki.join("ask.der")).unwrap();
    snp_of(&mut document).vek.0 = std::fs::read(vectors().join("snp/synthetic/ok-genoa-v3/vcek.der")).unwrap();
    document.evidence.report.0 = std::fs::read(vectors().join("snp/synthetic/ok-genoa-v3/report.bin")).unwrap();
    let now = AcceptedCase::new(crate::support::pki()).now;
    let result = attestation::appraise(&document, &TrustRoots::vendor(), &demo_policy(), now, &mut Transcript::new());
    assert_eq!(code(&result), "chain.signature");
}

#[test]
fn assurance_follows_from_the_root() {
    assert_eq!(TrustRoots::vendor().assurance(), AssuranceClass::Vendor);
    assert_eq!(TrustRoots::named(pki().ark_der()).unwrap().assurance(), AssuranceClass::Simulated);
    // A vendor root that the caller names is a named root: the class says what was relied on.
    let amd = vendor_certificates(Product::Turin, SigningKey::Vcek).root;
    assert_eq!(TrustRoots::named(amd).unwrap().assurance(), AssuranceClass::CustomRoot);
    let classes = [AssuranceClass::Vendor, AssuranceClass::CustomRoot, AssuranceClass::Simulated];
    let names: Vec<String> = classes.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["vendor", "custom-root", "simulated"]);
    assert_eq!(serde_json::to_string(&classes).unwrap(), r#"["vendor","custom-root","simulated"]"#);
}

#[test]
fn der_and_pem_name_the_same_root() {
    let pem = pki().ark_pem();
    let case = AcceptedCase::new(pki());
    let roots = TrustRoots::named(format!("\n{pem}\n").as_bytes()).unwrap();
    let document = case.document();
    attestation::appraise(&document, &roots, &demo_policy(), case.now, &mut Transcript::new()).unwrap();
    let roots = TrustRoots::named(pem.repeat(NAMED_ROOTS_MAX).as_bytes()).unwrap();
    attestation::appraise(&document, &roots, &demo_policy(), case.now, &mut Transcript::new()).unwrap();
    let too_many = pem.repeat(NAMED_ROOTS_MAX + 1);
    assert_eq!(TrustRoots::named(too_many.as_bytes()).unwrap_err(), RootError::Malformed);
    let renamed = pem.replace("CERTIFICATE", "PRIVATE KEY");
    assert_eq!(TrustRoots::named(renamed.as_bytes()).unwrap_err(), RootError::Malformed);
}

#[test]
fn only_a_root_is_a_root() {
    let mut trailing = pki().ark_der().to_vec();
    trailing.push(0);
    let mut altered = pki().ark_der().to_vec();
    *altered.last_mut().unwrap() ^= 1;
    let case = AcceptedCase::new(pki());
    let (from, to) = (case.vek.not_before, case.vek.not_after);
    let cases = [
        (Vec::new(), RootError::Malformed),
        (b"-----BEGIN CERTIFICATE-----".to_vec(), RootError::Malformed),
        (trailing, RootError::Malformed),
        (altered, RootError::NotARoot),
        (pki().ask_der().to_vec(), RootError::NotARoot),
        (pki().vcek_der(), RootError::NotARoot),
        (pki().ca_der(Issuer::Ark, from, to, false), RootError::NotARoot),
    ];
    for (der, expected) in cases {
        assert_eq!(TrustRoots::named(&der).unwrap_err(), expected);
    }
}

#[test]
fn an_expired_root_ends_every_chain() {
    let mut case = AcceptedCase::new(pki());
    let end = attestation::UnixTime(case.now.0 - 1);
    let expired = pki().ca_der(Issuer::Ark, case.vek.not_before, end, true);
    let roots = TrustRoots::named(&expired).unwrap();
    let mut document = case.document();
    snp_of(&mut document).root.0 = expired;
    let result = attestation::appraise(&document, &roots, &demo_policy(), case.now, &mut Transcript::new());
    assert_eq!(code(&result), "chain.expired");
    case.now = end;
    attestation::appraise(&document, &roots, &demo_policy(), case.now, &mut Transcript::new()).unwrap();
}

#[test]
fn a_saved_chain_is_the_same_chain() {
    let saved = pki().to_json().unwrap();
    let restored = TestPki::from_json(&saved).unwrap();
    assert_eq!(restored.ark_der(), pki().ark_der());
    assert_eq!(restored.chip_id(), pki().chip_id());
    let mut case = AcceptedCase::new(&restored);
    case.vek = pki().vcek(case.report.reported_tcb);
    appraise_case(&case).unwrap();
    assert_eq!(format!("{restored:?}"), "TestPki { product: Genoa, .. }");
    assert!(
        TestPki::from_json(&saved[1..]).is_err_and(|error| error.to_string() == "the saved state is not a test chain")
    );
}
