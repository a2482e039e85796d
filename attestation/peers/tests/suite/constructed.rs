//! Really signed cases beyond the vectors, where the published libraries are known to differ from us.

use attestation::snp::{Product, SigningKey};
use attestation::{Base64, UnixTime};
use attestation_peers::compare::{Compared, Difference, complaints};
use attestation_peers::{snp, tdx};
use attestation_testing::tdx::FakeTdx;
use attestation_testing::{FakeSnp, NAME_PREFIX, TestPki};

/// 2026-06-01, inside the validity of what the fakes issue.
const AT: UnixTime = UnixTime(1_780_272_000);

fn snp_case(name: &str, pki: &TestPki, spoil: impl FnOnce(&mut FakeSnp)) -> snp::Case {
    let mut fake = FakeSnp::accepted(pki);
    spoil(&mut fake);
    let mut endorsements = pki.endorsements(AT);
    if fake.signing_key == 1 {
        endorsements.vek = Base64(pki.vek_der(&pki.vlek(fake.reported_tcb, "CN=cc-test.example.com")));
        endorsements.intermediate = Base64(pki.asvk_der().to_vec());
    }
    let named_root = Some(pki.ark_der().to_vec());
    snp::Case { id: name.to_owned(), report: fake.sign(pki), endorsements, named_root, at: AT }
}

const SNP_DIFFERENCES: &[Difference] = &[
    Difference {
        case: "version 2, VLEK, no CHIP_ID",
        ours: "accepted",
        theirs: "MASK_CHIP_ID",
        reason: "sev takes the layout of TCB_VERSION from CHIP_ID in version 2; providers that hand out VLEKs mask it",
    },
    Difference {
        case: "high byte of r",
        ours: "snp.signature_encoding",
        theirs: "accepted",
        reason: "sev reads 48 of the 72 bytes of r and s, so that one signature has many spellings",
    },
    Difference {
        case: "unknown policy bit",
        ours: "snp.policy_unknown_bits",
        theirs: "accepted",
        reason: "sev judges no field of a report whose signature holds",
    },
];

#[test]
fn sev_and_we_differ_on_constructed_reports_only_where_the_table_says() {
    let pki = TestPki::generate(Product::Milan, NAME_PREFIX).unwrap();
    let version_2 = |fake: &mut FakeSnp| {
        (fake.version, fake.cpu) = (2, None);
        (fake.launch_mit_vector, fake.current_mit_vector) = (0, 0);
    };
    let mut high_byte = snp_case("high byte of r", &pki, |_| {});
    high_byte.report[0x2a0 + 48] = 1;
    let cases = [
        snp_case("version 5, VCEK", &pki, |_| {}),
        snp_case("version 2, VCEK", &pki, version_2),
        snp_case("version 5, VLEK, no CHIP_ID", &pki, |fake| {
            fake.set_signing_key(SigningKey::Vlek);
            fake.chip_id = [0; 64];
        }),
        snp_case("version 2, VLEK, no CHIP_ID", &pki, |fake| {
            version_2(fake);
            fake.set_signing_key(SigningKey::Vlek);
            fake.chip_id = [0; 64];
        }),
        snp_case("unknown policy bit", &pki, |fake| fake.policy |= 1 << 40),
        snp_case("reserved byte", &pki, |fake| fake.overwrite.push((0x4c, 1))),
        high_byte,
    ];
    let all = cases.map(|case| Compared { case: case.id.clone(), ours: case.ours(), theirs: case.by_sev() });
    let complaints = complaints(&all, SNP_DIFFERENCES);
    assert!(complaints.is_empty(), "{complaints:#?}");
}

fn tdx_case(name: &str, spoil: impl FnOnce(&mut FakeTdx)) -> tdx::Case {
    let mut fake = FakeTdx::accepted();
    spoil(&mut fake);
    tdx::Case {
        id: name.to_owned(),
        quote: fake.quote(),
        collateral: fake.collateral_json().to_string().into_bytes(),
        named_root: Some(fake.root_der().to_vec()),
        at: fake.now,
    }
}

const TDX_DIFFERENCES: &[Difference] = &[
    Difference {
        case: "PCE-ID of another platform",
        ours: "tdx.pce_id_mismatch",
        theirs: "accepted UpToDate []",
        reason: "dcap-qvl compares the FMSPC only",
    },
    Difference {
        case: "QE identity of another TCB recovery",
        ours: "tdx.evaluation_number_mixed",
        theirs: "accepted UpToDate []",
        reason: "dcap-qvl reports the lower of both numbers and leaves the rest to its policy",
    },
    Difference {
        case: "bytes behind the quote",
        ours: "tdx.length",
        theirs: "accepted UpToDate []",
        reason: "dcap-qvl does not look behind the quote",
    },
];

#[test]
fn dcap_qvl_and_we_differ_on_constructed_quotes_only_where_the_table_says() {
    let mut longer = tdx_case("bytes behind the quote", |_| {});
    longer.quote.push(0);
    let cases = [
        tdx_case("accepted", |_| {}),
        tdx_case("PCE-ID of another platform", |fake| fake.tcb_info["pceId"] = "0001".into()),
        tdx_case("FMSPC of another platform", |fake| fake.tcb_info["fmspc"] = "00906ED50001".into()),
        tdx_case("QE identity of another TCB recovery", |fake| {
            let number = fake.qe_identity["tcbEvaluationDataNumber"].as_u64().unwrap();
            fake.qe_identity["tcbEvaluationDataNumber"] = (number + 1).into();
        }),
        longer,
    ];
    let all = cases.map(|case| Compared { case: case.id.clone(), ours: case.ours(), theirs: case.by_dcap_qvl() });
    let complaints = complaints(&all, TDX_DIFFERENCES);
    assert!(complaints.is_empty(), "{complaints:#?}");
}
