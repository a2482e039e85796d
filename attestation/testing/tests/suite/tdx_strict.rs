//! What the strict policy says about each TDX vector: the first reason to refuse, in the order of its checks.
//!
//! It accepts none: as shipped it names no measurement, and no capture is up to date under the recovery it demands. Intel
//! signs collateral of several recoveries at once, and the host chooses what to hand out, so only that demand stops a
//! rollback to one under which an old module still counts as up to date.

use attestation::{STRICT_POLICY, TrustRoots, UnixTime};

use crate::support::{code, unix_time, with_item};
use crate::tdx_support::{appraise_quote, roots_named, tdx_entries};

/// Captured quotes: case, time, verdict. One case has a row per collateral.
const REAL: &[(&str, u64, &str)] = &[
    ("v4-emr-90c06f-azure-flashbots", 1_764_651_829, "tdx.evaluation_number_too_low"),
    ("v4-emr-90c06f-azure-flashbots", 1_782_215_795, "tdx.evaluation_number_too_low"),
    ("v4-emr-90c06f-azure-live", 1_765_938_182, "tdx.evaluation_number_too_low"),
    ("v4-emr-90c06f-azure-live", 1_782_215_795, "tdx.evaluation_number_too_low"),
    ("v4-emr-90c06f-dstack-lite", 1_782_215_795, "tdx.evaluation_number_too_low"),
    ("v4-emr-90c06f-dstack-verifier", 1_764_651_829, "tdx.evaluation_number_too_low"),
    ("v4-emr-90c06f-dstack-verifier", 1_782_215_795, "tdx.evaluation_number_too_low"),
    ("v4-emr-90c06f-private-ml", 1_735_979_219, "tdx.evaluation_number_too_low"),
    ("v4-emr-90c06f-private-ml", 1_750_357_898, "tdx.evaluation_number_too_low"),
    ("v4-emr-90c06f-private-ml", 1_741_604_669, "tdx.tcb_status"),
    ("v4-emr-90c06f-private-ml", 1_782_215_795, "tdx.tcb_status"),
    ("v4-emr-b0c06f-dstack", 1_773_203_941, "tdx.evaluation_number_too_low"),
    ("v4-emr-b0c06f-phala", 1_751_624_191, "tdx.evaluation_number_too_low"),
    ("v4-emr-b0c06f-phala", 1_773_203_941, "tdx.evaluation_number_too_low"),
    ("v4-emr-b0c06f-phala-old", 1_751_624_191, "tdx.tcb_no_level"),
    ("v4-emr-b0c06f-phala-old", 1_773_203_941, "tdx.tcb_no_level"),
    ("v4-emr-b0c06f-tappd", 1_751_624_191, "tdx.tcb_no_level"),
    ("v4-emr-b0c06f-tappd", 1_773_203_941, "tdx.tcb_no_level"),
    ("v4-gnr-20a06f-phala-near", 1_758_093_775, "tdx.evaluation_number_too_low"),
    ("v4-gnr-20a06f-phala-near", 1_764_652_144, "tdx.evaluation_number_too_low"),
    ("v4-spr-00806f05-automata", 1_734_396_600, "tdx.tcb_status"),
    ("v4-spr-00806f05-automata", 1_761_920_231, "tdx.tcb_status"),
    ("v4-spr-00806f05-automata", 1_764_652_535, "tdx.tcb_status"),
    ("v4-spr-00806f05-automata", 1_784_102_583, "tdx.tcb_status"),
    ("v4-spr-00806f05-automata", 1_782_599_235, "tdx.tcb_status"),
    ("v4-spr-00806f05-automata2", 1_749_669_835, "tdx.evaluation_number_too_low"),
    ("v4-spr-00806f05-automata2", 1_784_102_583, "tdx.evaluation_number_too_low"),
    ("v4-spr-00806f05-automata2", 1_782_599_235, "tdx.tcb_status"),
    ("v4-spr-00806f05-gcp-2026", 1_782_599_235, "tdx.tcb_status"),
    ("v4-spr-00806f05-gcp-2026", 1_784_102_583, "tdx.evaluation_number_too_low"),
    ("v4-spr-00806f05-gcp-cos113", 1_734_396_600, "tdx.evaluation_number_too_low"),
    ("v4-spr-00806f05-gcp-cos113", 1_761_920_231, "tdx.evaluation_number_too_low"),
    ("v4-spr-00806f05-gcp-cos113", 1_764_652_535, "tdx.tcb_status"),
    ("v4-spr-00806f05-gcp-cos113", 1_784_102_583, "tdx.tcb_status"),
    ("v4-spr-00806f05-gcp-cos113", 1_782_599_235, "tdx.tcb_status"),
    ("v4-spr-00806f05-gcp-flashbots", 1_749_669_835, "tdx.evaluation_number_too_low"),
    ("v4-spr-00806f05-gcp-flashbots", 1_784_102_583, "tdx.evaluation_number_too_low"),
    ("v4-spr-00806f05-gcp-flashbots", 1_782_599_235, "tdx.tcb_status"),
    ("v4-spr-00806f05-oak", 1_749_669_835, "tdx.evaluation_number_too_low"),
    ("v4-spr-00806f05-oak", 1_784_102_583, "tdx.evaluation_number_too_low"),
    ("v4-spr-00806f05-oak", 1_782_599_235, "tdx.tcb_status"),
    ("v4-spr-00806f05-teepot", 1_734_417_694, "tdx.evaluation_number_too_low"),
    ("v4-spr-00806f05-teepot", 1_761_920_231, "tdx.evaluation_number_too_low"),
    ("v4-spr-00806f05-teepot", 1_764_652_535, "tdx.tcb_status"),
    ("v4-spr-00806f05-teepot", 1_784_102_583, "tdx.tcb_status"),
    ("v4-spr-00806f05-teepot", 1_782_599_235, "tdx.tcb_status"),
    ("v4-spr-50806f-azure-openenclave", 1_687_939_438, "tdx.sept_ve_disable"),
    ("v4-spr-50806f-azure-openenclave", 1_774_995_904, "tdx.sept_ve_disable"),
    ("v4-spr-50806f-debug", 1_687_939_438, "tdx.debug"),
    ("v4-spr-50806f-debug", 1_764_651_836, "tdx.debug"),
    ("v4-spr-50806f-debug", 1_774_995_904, "tdx.debug"),
    ("v4-spr-50806f-go-tdx-guest", 1_687_939_438, "tdx.tcb_no_level"),
    ("v4-spr-50806f-go-tdx-guest", 1_774_995_904, "tdx.tcb_no_level"),
    ("v4-spr-azure-td-partitioning", 1_734_396_600, "tdx.sept_ve_disable"),
    ("v4-spr-azure-td-partitioning", 1_784_102_583, "tdx.sept_ve_disable"),
    ("v4-spr-c0806f-oasis", 1_764_652_144, "tdx.tcb_status"),
    ("v5-td15-emr-azure-nolevel", 1_770_018_802, "tdx.tcb_no_level"),
    ("v5-td15-emr-azure-nolevel", 1_782_215_795, "tdx.tcb_no_level"),
    ("v5-td15-emr-go-tdx-guest", 1_770_191_602, "tdx.evaluation_number_too_low"),
    ("v5-td15-emr-go-tdx-guest", 1_782_215_795, "tdx.evaluation_number_too_low"),
    ("v5-td15-emr-servtd", 1_735_979_219, "tdx.tcb_no_level"),
    ("v5-td15-emr-servtd", 1_782_215_795, "tdx.tcb_no_level"),
];

/// Synthetic and edited quotes, each at its time.
const MADE: &[(&str, &str)] = &[
    ("synthetic/advisory-denied", "tdx.tcb_status"),
    ("synthetic/ak-not-bound", "tdx.qe_report_data"),
    ("synthetic/attr-debug", "tdx.debug"),
    ("synthetic/attr-debug-v5", "tdx.debug"),
    ("synthetic/attr-migratable", "tdx.migratable"),
    ("synthetic/attr-no-sept-ve-disable", "tdx.sept_ve_disable"),
    ("synthetic/attr-pks", "tdx.evaluation_number_too_low"),
    ("synthetic/attr-reserved-tud", "tdx.attributes_reserved"),
    ("synthetic/eval-number-too-low", "tdx.evaluation_number_too_low"),
    ("synthetic/fmspc-mismatch", "tdx.fmspc_mismatch"),
    ("synthetic/mr-signer-seam-nonzero", "tdx.seam_signer"),
    ("synthetic/mrconfigid-mismatch", "tdx.evaluation_number_too_low"),
    ("synthetic/mrtd-not-allowed", "tdx.evaluation_number_too_low"),
    ("synthetic/ok-v4", "tdx.evaluation_number_too_low"),
    ("synthetic/ok-v5-td10", "tdx.evaluation_number_too_low"),
    ("synthetic/ok-v5-td15", "tdx.evaluation_number_too_low"),
    ("synthetic/pck-chain-attacker-root", "chain.root_unknown"),
    ("synthetic/pck-expired", "chain.expired"),
    ("synthetic/pck-revoked", "crl.revoked"),
    ("synthetic/platform-ca-revoked", "crl.revoked"),
    ("synthetic/qe-isvprodid-mismatch", "tdx.qe_isv_prod_id"),
    ("synthetic/qe-isvsvn-low", "tdx.qe_no_level"),
    ("synthetic/qe-mrsigner-mismatch", "tdx.qe_mr_signer"),
    ("synthetic/qe-outofdate", "tdx.tcb_status"),
    ("synthetic/qeidentity-expired", "tdx.collateral_expired"),
    ("synthetic/report-data-mismatch", "tdx.evaluation_number_too_low"),
    ("synthetic/rtmr2-not-allowed", "tdx.evaluation_number_too_low"),
    ("synthetic/seam-attributes-debug", "tdx.seam_attributes"),
    ("synthetic/tcb-configurationneeded", "tdx.tcb_status"),
    ("synthetic/tcb-no-level", "tdx.module_no_level"),
    ("synthetic/tcb-outofdate", "tdx.tcb_status"),
    ("synthetic/tcb-outofdateconfigurationneeded", "tdx.tcb_status"),
    ("synthetic/tcb-pcesvn-low", "tdx.tcb_no_level"),
    ("synthetic/tcb-revoked", "tdx.tcb_revoked"),
    ("synthetic/tcb-second-level", "tdx.tcb_status"),
    ("synthetic/tcb-swhardeningneeded", "tdx.tcb_status"),
    ("synthetic/tcbinfo-expired", "tdx.collateral_expired"),
    ("synthetic/tcbinfo-signed-by-attacker", "tdx.tcb_info_signature"),
    ("synthetic/tdx-module-identity-missing", "tdx.module_identity"),
    ("synthetic/tdx-module-outofdate", "tdx.tcb_status"),
    ("synthetic/xfam-fixed1-clear", "tdx.xfam_fixed"),
    ("negative/collateral-expired", "tdx.collateral_expired"),
    ("negative/collateral-future", "tdx.collateral_not_yet_valid"),
    ("negative/control-ok", "tdx.evaluation_number_too_low"),
    ("negative/fmspc-mismatch", "tdx.fmspc_mismatch"),
    ("negative/header-only", "tdx.length"),
    ("negative/header-qe-vendor", "tdx.qe_vendor"),
    ("negative/header-tee-type-sgx", "tdx.tee_type"),
    ("negative/header-version-3", "tdx.version"),
    ("negative/mrtd-tampered", "tdx.signature"),
    ("negative/pck-crl-missing", "crl.missing"),
    ("negative/pck-crl-stale", "crl.expired"),
    ("negative/qe-auth-data-tampered", "tdx.qe_report_data"),
    ("negative/qe-report-tampered", "tdx.qe_report_signature"),
    ("negative/qeidentity-edited", "tdx.qe_identity_signature"),
    ("negative/report-data-tampered", "tdx.signature"),
    ("negative/sig-data-len-huge", "tdx.length"),
    ("negative/signature-zero", "tdx.signature"),
    ("negative/tcbinfo-edited", "tdx.tcb_info_signature"),
    ("negative/truncated-400", "tdx.length"),
    ("negative/truncated-half", "tdx.length"),
];

#[test]
fn the_strict_policy_accepts_no_capture_and_says_why() {
    let mut seen = Vec::new();
    for entry in tdx_entries("tdx/real/") {
        for row in entry.rows() {
            let (roots, at) = (TrustRoots::vendor(), UnixTime(row.at));
            let result = appraise_quote(&entry.quote(), &row.collateral(), &roots, STRICT_POLICY, at);
            seen.push((entry.name().to_owned(), row.at, code(&result)));
        }
    }
    let expected: Vec<_> = REAL.iter().map(|(name, at, code)| ((*name).to_owned(), *at, *code)).collect();
    assert_eq!(seen, expected);
}

#[test]
fn the_strict_policy_accepts_nothing_made_and_says_why() {
    let entries = tdx_entries("tdx/synthetic/").into_iter().chain(tdx_entries("tdx/negative/"));
    let mut seen = Vec::new();
    for entry in entries {
        let roots = roots_named(entry.expected["root"].as_str().unwrap());
        let at = unix_time(entry.expected["at"].as_str().unwrap());
        let result = appraise_quote(&entry.quote(), &entry.collateral(), &roots, STRICT_POLICY, at);
        seen.push((entry.id.trim_start_matches("tdx/").to_owned(), code(&result)));
    }
    let expected: Vec<_> = MADE.iter().map(|(name, code)| ((*name).to_owned(), *code)).collect();
    assert_eq!(seen, expected);
}

/// The twin: with its measurements filled in, and demanding only the recovery the captures' collateral is of, the strict
/// policy accepts those that were up to date then.
#[test]
fn the_strict_policy_accepts_captures_whose_measurements_it_names() {
    let mut accepted = 0;
    for (name, at, expected) in REAL {
        let entry = tdx_entries("tdx/real/").into_iter().find(|entry| entry.name() == *name).unwrap();
        let row = entry.rows().into_iter().find(|row| row.at == *at).unwrap();
        let mut policy = with_item(STRICT_POLICY, "tdx.tcb.evaluation_number_min", "19");
        policy = with_item(&policy, "tdx.quote.mr_td", &format!("[{}]", entry.fields["mr_td"]));
        for index in 0..4 {
            let rtmr = &entry.fields["rtmr"][index];
            policy = with_item(&policy, &format!("tdx.quote.rtmr{index}"), &format!("[{rtmr}]"));
        }
        let result =
            appraise_quote(&entry.quote(), &row.collateral(), &TrustRoots::vendor(), &policy, UnixTime(row.at));
        accepted += usize::from(result.is_ok());
        assert!(result.is_ok() || code(&result) == *expected, "{name} at {at}: {}", code(&result));
    }
    assert!(accepted >= 5, "{accepted}");
}
