//! SEV-SNP: every vector with a key certificate, by us with everything waived and by `sev`.

use attestation_peers::compare::{Compared, Difference, Verdict, complaints};
use attestation_peers::snp::{Case, cases};

const DATES: &str = "sev's pure Rust build reads no dates";
const ROOT: &str = "which root is trusted is left to sev's caller; it was given the one the evidence came with";
const EXTENSIONS: &str = "sev does not hold the report against the extensions of the key certificate";
const KIND: &str = "sev does not hold SIGNING_KEY against the kind of the certificate";
const PRODUCT: &str = "sev does not hold the report's CPUID against the product of the chain";
const FIELDS: &str = "sev judges no field of a report whose signature holds";
const VERSION: &str = "sev reads versions it does not know like the newest it knows";

const fn more_lenient(case: &'static str, ours: &'static str, reason: &'static str) -> Difference {
    Difference { case, ours, theirs: "accepted", reason }
}

/// All differences. In each of them it is `sev` that accepts.
const DIFFERENCES: &[Difference] = &[
    more_lenient("snp/synthetic/ask-expired", "chain.expired", DATES),
    more_lenient("snp/synthetic/chain-untrusted-root", "chain.root_unknown", ROOT),
    more_lenient("snp/synthetic/chip-id-mismatch", "chain.chip_id_mismatch", EXTENSIONS),
    more_lenient("snp/synthetic/policy-reserved-mbo-cleared", "snp.policy_reserved_bit", FIELDS),
    more_lenient("snp/synthetic/product-cpuid-mismatch", "chain.product_mismatch", PRODUCT),
    more_lenient("snp/synthetic/sig-algo-2", "snp.signature_algorithm", FIELDS),
    more_lenient("snp/synthetic/signing-key-says-vlek-cert-is-vcek", "chain.signing_key_mismatch", KIND),
    more_lenient("snp/synthetic/tcb-reported-gt-current", "snp.tcb_order", FIELDS),
    more_lenient("snp/synthetic/tcb-vcek-mismatch-snp", "chain.tcb_mismatch", EXTENSIONS),
    more_lenient("snp/synthetic/tcb-vcek-mismatch-ucode", "chain.tcb_mismatch", EXTENSIONS),
    more_lenient("snp/synthetic/vcek-expired", "chain.expired", DATES),
    more_lenient("snp/synthetic/vcek-missing-hwid", "chain.extension_missing", EXTENSIONS),
    more_lenient("snp/synthetic/vcek-not-yet-valid", "chain.not_yet_valid", DATES),
    more_lenient("snp/synthetic/version-6", "snp.version", VERSION),
    more_lenient("snp/synthetic/vmpl-host-requested", "snp.host_requested", FIELDS),
];

/// What the index has with a key certificate: 17 captures and 51 synthetic reports.
const CASES: usize = 68;
const ACCEPTED_BY_BOTH: usize = 41;

fn compare(case: &Case) -> Compared {
    Compared { case: case.id.clone(), ours: case.ours(), theirs: case.by_sev() }
}

#[test]
fn sev_and_we_differ_only_where_the_table_says() {
    let all: Vec<Compared> = cases().iter().map(compare).collect();
    assert_eq!(all.len(), CASES);
    let complaints = complaints(&all, DIFFERENCES);
    assert!(complaints.is_empty(), "{complaints:#?}");
    // Agreement is not that of verifiers that refuse everything.
    let accepted =
        all.iter().filter(|one| one.ours == one.theirs && one.ours.agrees_with(&Verdict::Accepted(String::new())));
    assert_eq!(accepted.count(), ACCEPTED_BY_BOTH);
}

/// One side sees a report with one bit turned: wherever both accepted, that is a complaint.
#[test]
fn an_input_altered_for_one_side_is_a_complaint() {
    let mut noticed = 0;
    for case in cases() {
        let untouched = compare(&case);
        if !matches!((&untouched.ours, &untouched.theirs), (Verdict::Accepted(_), Verdict::Accepted(_))) {
            continue;
        }
        let mut altered = case.clone();
        altered.report[0x90] ^= 1;
        for (ours, theirs) in [(altered.ours(), case.by_sev()), (case.ours(), altered.by_sev())] {
            let complaints = complaints(&[Compared { case: case.id.clone(), ours, theirs }], &[]);
            assert_eq!(complaints.len(), 1, "{}", case.id);
            assert!(complaints[0].contains("not explained"), "{complaints:?}");
        }
        noticed += 1;
    }
    assert_eq!(noticed, ACCEPTED_BY_BOTH);
}
