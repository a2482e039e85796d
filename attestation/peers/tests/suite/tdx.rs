//! TDX: every quote with every collateral and time, by us with everything waived and by `dcap-qvl`.

use attestation_peers::compare::{Compared, Difference, Verdict, complaints};
use attestation_peers::tdx::{Case, cases};

const SEPT_VE: &str = "dcap-qvl always demands SEPT_VE_DISABLE, which paravisor TDs on Azure do not set; with us it is a \
     policy item, required by the strict policy";
const MIGRATION: &str =
    "dcap-qvl always refuses migratable TDs; with us it is a policy item, forbidden by the strict policy";
const RESERVED: &str =
    "dcap-qvl always refuses reserved attributes; with us it is a policy item, forbidden by the strict policy";
const XFAM: &str = "dcap-qvl does not look at XFAM; we refuse values no TDX module can produce";

const SEPT_VE_DISABLE: &str = "SEPT_VE_DISABLE is not enabled";

const fn stricter(case: &'static str, ours: &'static str, theirs: &'static str, reason: &'static str) -> Difference {
    Difference { case, ours, theirs, reason }
}

/// All differences. In every one but the last it is `dcap-qvl` that has no choice.
const DIFFERENCES: &[Difference] = &[
    stricter(
        "tdx/real/v4-spr-50806f-azure-openenclave 50806f000000-2023-06-18-eval15-4fde3e 1687939438",
        "accepted UpToDate []",
        SEPT_VE_DISABLE,
        SEPT_VE,
    ),
    stricter(
        "tdx/real/v4-spr-50806f-azure-openenclave 50806f000000-2026-03-16-eval18-54f956 1774995904",
        "accepted OutOfDate [INTEL-SA-00837 INTEL-SA-00960 INTEL-SA-00982 INTEL-SA-00986 INTEL-SA-01010 \
         INTEL-SA-01036 INTEL-SA-01076 INTEL-SA-01079 INTEL-SA-01099 INTEL-SA-01103 INTEL-SA-01111]",
        SEPT_VE_DISABLE,
        SEPT_VE,
    ),
    stricter(
        "tdx/real/v4-spr-azure-td-partitioning 00806f050000-2024-12-05-eval17-87a8af 1734396600",
        "accepted OutOfDate [INTEL-SA-00960 INTEL-SA-00982 INTEL-SA-00986]",
        SEPT_VE_DISABLE,
        SEPT_VE,
    ),
    stricter(
        "tdx/real/v4-spr-azure-td-partitioning 00806f050000-2026-06-30-eval19-7037c6 1784102583",
        "accepted OutOfDate [INTEL-SA-00960 INTEL-SA-00982 INTEL-SA-00986 INTEL-SA-01010 INTEL-SA-01036 \
         INTEL-SA-01076 INTEL-SA-01079 INTEL-SA-01099 INTEL-SA-01103 INTEL-SA-01111]",
        SEPT_VE_DISABLE,
        SEPT_VE,
    ),
    stricter("tdx/synthetic/attr-migratable", "accepted UpToDate []", "TD migration is enabled", MIGRATION),
    stricter("tdx/synthetic/attr-no-sept-ve-disable", "accepted UpToDate []", SEPT_VE_DISABLE, SEPT_VE),
    stricter("tdx/synthetic/attr-reserved-tud", "accepted UpToDate []", "Reserved bits in TD attributes", RESERVED),
    Difference {
        case: "tdx/synthetic/xfam-fixed1-clear",
        ours: "tdx.xfam_fixed",
        theirs: "accepted UpToDate []",
        reason: XFAM,
    },
];

/// 26 captured quotes with 62 collaterals and times, 41 synthetic and 20 altered ones, and 32 of `dcap-qvl`'s generator.
const CASES: usize = 155;
const ACCEPTED_BY_BOTH: usize = 68;

fn compare(case: &Case) -> Compared {
    Compared { case: case.id.clone(), ours: case.ours(), theirs: case.by_dcap_qvl() }
}

fn accepted_by_both(one: &Compared) -> bool {
    matches!((&one.ours, &one.theirs), (Verdict::Accepted(_), Verdict::Accepted(_)))
}

#[test]
fn dcap_qvl_and_we_differ_only_where_the_table_says() {
    let all: Vec<Compared> = cases().iter().map(compare).collect();
    assert_eq!(all.len(), CASES);
    let complaints = complaints(&all, DIFFERENCES);
    assert!(complaints.is_empty(), "{complaints:#?}");
    // Agreement is not that of verifiers that refuse everything, or that call everything up to date.
    assert_eq!(all.iter().filter(|one| accepted_by_both(one)).count(), ACCEPTED_BY_BOTH);
    for status in ["UpToDate", "SWHardeningNeeded", "ConfigurationNeeded", "OutOfDate", "OutOfDateConfigurationNeeded"]
    {
        let found = all.iter().any(|one| one.theirs.to_string().starts_with(&format!("accepted {status} [")));
        assert!(found, "no case is {status}");
    }
}

/// One side sees a quote with one bit turned, another time or another collateral: that is a complaint.
#[test]
fn an_input_altered_for_one_side_is_a_complaint() {
    let mut noticed = 0;
    for case in cases() {
        if !accepted_by_both(&compare(&case)) {
            continue;
        }
        let mut turned = case.clone();
        turned.quote[0x100] ^= 1;
        let expired = Case { at: attestation::UnixTime(case.at.0 + 40 * 365 * 86_400), ..case.clone() };
        for altered in [turned, expired] {
            for (ours, theirs) in [(altered.ours(), case.by_dcap_qvl()), (case.ours(), altered.by_dcap_qvl())] {
                let complaints = complaints(&[Compared { case: case.id.clone(), ours, theirs }], &[]);
                assert_eq!(complaints.len(), 1, "{}", case.id);
                assert!(complaints[0].contains("not explained"), "{complaints:?}");
            }
        }
        noticed += 1;
    }
    assert_eq!(noticed, ACCEPTED_BY_BOTH);
}

/// The same quote with collateral before and after a TCB recovery: a status from the wrong collateral is a complaint.
#[test]
fn a_status_of_other_collateral_is_a_complaint() {
    let moments: Vec<Compared> =
        cases().iter().filter(|case| case.id.starts_with("tdx/real/v4-spr-00806f05-gcp-2026 ")).map(compare).collect();
    let statuses: std::collections::BTreeSet<String> = moments.iter().map(|one| one.ours.to_string()).collect();
    assert!(statuses.len() > 1, "{statuses:?}");
    let (first, other) = (&moments[0], moments.iter().find(|one| one.ours != moments[0].ours).unwrap());
    let mixed = Compared { theirs: other.theirs.clone(), ..first.clone() };
    assert!(complaints(&[mixed], &[])[0].contains("not explained"));
}
