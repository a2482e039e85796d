//! What a single fault cannot show: the order of checks, statuses as data, grace, and what a cache may remember.

use std::fmt::Write as _;

use attestation::tdx::{self, PckCa, TcbStatus, TdxCache, TdxClaims, TdxCollateral};
use attestation::{
    AppraisalPolicy, AssuranceClass, DEMO_POLICY, Outcome, PolicyError, Rejection, STRICT_POLICY, Transcript,
    TrustRoots, UnixTime,
};
use attestation_testing::tdx::{EVALUATION_NUMBER, FakeTdx, Holder};
use serde_json::json;

use crate::support::{CAPTURED_POLICY, code, parse_policy, with_item};

fn appraise(fake: &FakeTdx, policy: &str) -> Result<TdxClaims, Rejection> {
    appraise_with(fake, &fake.quote(), policy, &mut Transcript::new())
}

fn appraise_with(
    fake: &FakeTdx,
    quote: &[u8],
    policy: &str,
    transcript: &mut Transcript,
) -> Result<TdxClaims, Rejection> {
    let roots = TrustRoots::named(fake.root_der()).unwrap();
    let (policy, cache) = (parse_policy(policy), TdxCache::default());
    tdx::appraise(quote, &fake.collateral(), &roots, &policy, fake.now, &cache, transcript)
}

fn failed_ids(transcript: &Transcript) -> Vec<&'static str> {
    transcript.checks.iter().filter(|check| check.outcome == Outcome::Fail).map(|check| check.id).collect()
}

#[test]
fn claims_carry_what_was_found() {
    let fake = FakeTdx::accepted_td_1_5();
    let claims = appraise(&fake, DEMO_POLICY).unwrap();
    assert_eq!(claims.assurance(), AssuranceClass::Simulated);
    assert_eq!(claims.report_data(), &[0x44; 64]);
    assert_eq!(claims.quote().body, fake.body);
    assert_eq!((claims.fmspc(), claims.ppid()), (&[0x90, 0xc0, 0x6f, 0, 0, 0], &[0x77; 16]));
    assert_eq!((claims.pck_ca(), claims.pck().pce_svn), (PckCa::Platform, 11));
    assert_eq!(claims.pck().configuration.smt_enabled, Some(true));
    assert_eq!((claims.status(), claims.advisories()), (TcbStatus::UpToDate, &[][..]));
    // The oldest of platform, module and enclave: all of 2026-01-01.
    assert_eq!(claims.tcb_date(), UnixTime(1_767_225_600));
    assert_eq!(claims.evaluation_number(), EVALUATION_NUMBER);
    assert!(claims.unchecked().contains(&"tdx.platform.ppid"));
    assert!(!claims.unchecked().contains(&"tdx.quote.mr_td"));
}

#[test]
fn intel_s_root_vouches_for_no_fake() {
    let fake = FakeTdx::accepted();
    let (policy, cache) = (parse_policy(DEMO_POLICY), TdxCache::default());
    let roots = TrustRoots::vendor();
    let result =
        tdx::appraise(&fake.quote(), &fake.collateral(), &roots, &policy, fake.now, &cache, &mut Transcript::new());
    assert_eq!(code(&result), "chain.root_unknown");
}

/// Two trusted roots are two worlds: nothing of one may vouch for anything of the other.
#[test]
fn everything_ends_in_the_same_root() {
    let (ours, theirs) = (FakeTdx::accepted(), FakeTdx::accepted());
    let roots = TrustRoots::named(ours.root_der()).unwrap().and(TrustRoots::named(theirs.root_der()).unwrap());
    let policy = parse_policy(DEMO_POLICY);
    let appraise = |quote: &FakeTdx, collateral: &serde_json::Value| {
        let collateral = TdxCollateral::from_json(collateral.to_string().as_bytes()).unwrap();
        let (cache, mut transcript) = (TdxCache::default(), Transcript::new());
        code(&tdx::appraise(&quote.quote(), &collateral, &roots, &policy, quote.now, &cache, &mut transcript))
    };
    assert_eq!(appraise(&ours, &ours.collateral_json()), "ok");
    assert_eq!(appraise(&theirs, &theirs.collateral_json()), "ok");
    assert_eq!(appraise(&ours, &theirs.collateral_json()), "chain.root_unknown");
    let mut mixed = ours.collateral_json();
    for member in ["qe_identity", "qe_identity_signature", "qe_identity_issuer_chain"] {
        mixed[member] = theirs.collateral_json()[member].clone();
    }
    assert_eq!(appraise(&ours, &mixed), "chain.root_unknown");
}

/// Both statements may come with a chain of their own; each is verified.
#[test]
fn the_identity_s_own_chain_is_verified() {
    let mut fake = FakeTdx::accepted();
    let with_chain = |fake: &FakeTdx, chain: String| {
        let mut json = fake.collateral_json();
        json["qe_identity_issuer_chain"] = chain.into();
        let collateral = TdxCollateral::from_json(json.to_string().as_bytes()).unwrap();
        let roots = TrustRoots::named(fake.root_der()).unwrap();
        let (policy, cache, mut transcript) = (parse_policy(DEMO_POLICY), TdxCache::default(), Transcript::new());
        code(&tdx::appraise(&fake.quote(), &collateral, &roots, &policy, fake.now, &cache, &mut transcript))
    };
    let chain = |fake: &FakeTdx| fake.collateral_json()["tcb_info_issuer_chain"].as_str().unwrap().to_owned();
    // Signed anew at every call, so the two texts differ although the signer is the same.
    assert_ne!(chain(&fake), chain(&fake));
    assert_eq!(with_chain(&fake, chain(&fake)), "ok");
    assert_eq!(with_chain(&fake, chain(&FakeTdx::accepted())), "chain.root_unknown");
    assert_eq!(with_chain(&fake, chain(&fake).replacen("MII", "MIJ", 1)), "chain.malformed");
    // The same signer in two certificates, of which only the identity's is over.
    let not_after = std::mem::replace(&mut fake.tcb_signer.not_after, UnixTime(fake.now.0 - 1));
    let expired = chain(&fake);
    fake.tcb_signer.not_after = not_after;
    assert_eq!(with_chain(&fake, expired), "chain.expired");
}

#[test]
fn a_refused_platform_is_not_looked_at() {
    let mut of_tdx = false;
    let mut refusing = String::from("tdx = \"refused\"\n");
    for line in DEMO_POLICY.lines() {
        if line.starts_with('[') {
            of_tdx = line.trim_start_matches('[').starts_with("tdx.");
        }
        if !of_tdx {
            writeln!(refusing, "{line}").unwrap();
        }
    }
    assert_eq!(code(&appraise(&FakeTdx::accepted(), &refusing)), "policy.platform_refused");
}

/// Nothing that is only known from a part of the evidence is an answer before every signature holds: a verifier that
/// returned a revoked or refused status early would skip them.
#[test]
fn no_status_is_an_answer_before_every_signature_holds() {
    let spoil_signature = |fake: &FakeTdx| {
        let mut quote = fake.quote();
        quote[48 + 520] ^= 1;
        let mut transcript = Transcript::new();
        let result = appraise_with(fake, &quote, DEMO_POLICY, &mut transcript);
        assert_eq!(code(&result), "tdx.signature");
        assert_eq!(failed_ids(&transcript), ["tdx.quote.signature"]);
        assert!(transcript.checks.iter().all(|check| !check.id.starts_with("tdx.tcb")));
    };
    let mut revoked_enclave = FakeTdx::accepted();
    revoked_enclave.qe_identity["tcbLevels"][0]["tcbStatus"] = json!("Revoked");
    assert_eq!(code(&appraise(&revoked_enclave, DEMO_POLICY)), "tdx.tcb_revoked");
    spoil_signature(&revoked_enclave);

    let mut debug = FakeTdx::accepted();
    debug.body.td_attributes |= 1;
    assert_eq!(code(&appraise(&debug, DEMO_POLICY)), "tdx.debug");
    spoil_signature(&debug);

    let mut other_platform = FakeTdx::accepted();
    other_platform.tcb_info["fmspc"] = json!("000000000000");
    spoil_signature(&other_platform);
}

#[test]
fn one_failed_item_does_not_hide_another() {
    let mut fake = FakeTdx::accepted();
    fake.body.td_attributes |= (1 << 29) | (1 << 63);
    fake.body.rtmrs[2] = [0; 48];
    let mut transcript = Transcript::new();
    let result = appraise_with(&fake, &fake.quote(), DEMO_POLICY, &mut transcript);
    assert_eq!(code(&result), "tdx.migratable");
    // A TD 1.0 report names no service TD; one that may be migrated could have any.
    let failed = ["tdx.attributes.migratable", "tdx.attributes.perfmon", "tdx.quote.service_td", "tdx.quote.rtmr2"];
    assert_eq!(failed_ids(&transcript), failed);
}

/// The captured policy, in which every status but `Revoked` is accepted.
fn status_of(fake: &FakeTdx) -> (TcbStatus, Vec<String>) {
    let claims = appraise(fake, CAPTURED_POLICY).unwrap();
    (claims.status(), claims.advisories().to_vec())
}

#[test]
fn platform_module_and_enclave_converge_to_the_worst() {
    let mut fake = FakeTdx::accepted();
    assert_eq!(status_of(&fake), (TcbStatus::UpToDate, vec![]));
    fake.platform.as_mut().unwrap().components = [2; 16];
    assert_eq!(status_of(&fake), (TcbStatus::SwHardeningNeeded, vec!["SIMULATED-SA-00001".to_owned()]));
    fake.body.tee_tcb_svn[0] = 3;
    let advisories = vec!["SIMULATED-SA-00001".to_owned(), "SIMULATED-SA-00003".to_owned()];
    assert_eq!(status_of(&fake), (TcbStatus::OutOfDate, advisories));
    fake.tcb_info["tcbLevels"][1]["tcbStatus"] = json!("ConfigurationNeeded");
    assert_eq!(status_of(&fake).0, TcbStatus::OutOfDateConfigurationNeeded);
    fake.body.tee_tcb_svn[0] = 5;
    assert_eq!(status_of(&fake).0, TcbStatus::ConfigurationNeeded);
    fake.qe_report.isv_svn = 6;
    assert_eq!(status_of(&fake).0, TcbStatus::OutOfDateConfigurationNeeded);
    assert_eq!(appraise(&fake, CAPTURED_POLICY).unwrap().tcb_date(), UnixTime(1_735_689_600));
}

#[test]
fn a_td_older_than_its_module_is_told_to_relaunch() {
    let mut fake = FakeTdx::accepted_td_1_5();
    fake.body.tee_tcb_svn[0] = 3;
    let (status, advisories) = status_of(&fake);
    assert_eq!((status, advisories), (TcbStatus::TdRelaunchAdvised, vec!["SIMULATED-SA-00003".to_owned()]));
    // The strict statuses do not include it.
    assert_eq!(code(&appraise(&fake, DEMO_POLICY)), "tdx.tcb_status");
    let policy = with_item(DEMO_POLICY, "tdx.tcb.statuses", "[\"TDRelaunchAdvised\"]");
    let policy = with_item(&policy, "tdx.tcb.advisories_allowed", "[\"SIMULATED-SA-00003\"]");
    appraise(&fake, &policy).unwrap();

    // When the module is old as well, the TD is simply out of date; so it is when the enclave is.
    fake.body.td_1_5.as_mut().unwrap().tee_tcb_svn_2[0] = 3;
    assert_eq!(status_of(&fake).0, TcbStatus::OutOfDate);
    let mut fake = FakeTdx::accepted_td_1_5();
    fake.body.tee_tcb_svn[0] = 3;
    fake.qe_report.isv_svn = 6;
    assert_eq!(status_of(&fake).0, TcbStatus::OutOfDate);
    // A module that was rolled back since is judged by what it is now, and by that level's date.
    let mut fake = FakeTdx::accepted_td_1_5();
    fake.body.td_1_5.as_mut().unwrap().tee_tcb_svn_2[0] = 3;
    let claims = appraise(&fake, CAPTURED_POLICY).unwrap();
    assert_eq!((claims.status(), claims.tcb_date()), (TcbStatus::OutOfDate, UnixTime(1_735_689_600)));
    assert_eq!(claims.advisories(), ["SIMULATED-SA-00003"]);
    // A module that matches no level at launch is not made good by one that does now.
    let mut fake = FakeTdx::accepted_td_1_5();
    fake.body.tee_tcb_svn[0] = 1;
    assert_eq!(code(&appraise(&fake, CAPTURED_POLICY)), "tdx.module_no_level");
}

#[test]
fn grace_ends_with_the_second_and_helps_only_what_is_out_of_date() {
    // From 2025-01-01, the date of the enclave's level, to the time of appraisal.
    const SINCE: u64 = 1_780_272_000 - 1_735_689_600;
    let with_grace = |secs: u64| {
        let policy = with_item(DEMO_POLICY, "tdx.tcb.out_of_date_grace_secs", &secs.to_string());
        with_item(&policy, "tdx.tcb.advisories_allowed", "\"unchecked\"")
    };
    let mut fake = FakeTdx::accepted();
    fake.qe_report.isv_svn = 6;
    assert_eq!(appraise(&fake, &with_grace(SINCE)).unwrap().status(), TcbStatus::OutOfDate);
    assert_eq!(code(&appraise(&fake, &with_grace(SINCE - 1))), "tdx.tcb_status");
    // No grace is none, even for a level as young as the quote.
    fake.qe_identity["tcbLevels"][1]["tcbDate"] = json!("2026-06-01T00:00:00Z");
    fake.tcb_info["tcbLevels"][0]["tcbDate"] = json!("2026-06-01T00:00:00Z");
    fake.tcb_info["tdxModuleIdentities"][0]["tcbLevels"][0]["tcbDate"] = json!("2026-06-01T00:00:00Z");
    assert_eq!(code(&appraise(&fake, &with_grace(0))), "tdx.tcb_status");
    appraise(&fake, &with_grace(1)).unwrap();
    let mut fake = FakeTdx::accepted();
    fake.platform.as_mut().unwrap().components = [2; 16];
    assert_eq!(code(&appraise(&fake, &with_grace(SINCE))), "tdx.tcb_status");
}

#[test]
fn a_processor_ca_platform_is_accepted_and_a_bound_service_td_can_be_named() {
    let mut fake = FakeTdx::accepted();
    fake.ca.common_name = "SIMULATED SGX PCK Processor CA".to_owned();
    fake.platform.as_mut().unwrap().instance = None;
    let claims = appraise(&fake, DEMO_POLICY).unwrap();
    assert_eq!((claims.pck_ca(), claims.pck().platform_instance_id), (PckCa::Processor, None));

    let mut fake = FakeTdx::accepted_td_1_5();
    fake.body.td_1_5.as_mut().unwrap().mr_service_td = [0xab; 48];
    assert_eq!(code(&appraise(&fake, DEMO_POLICY)), "tdx.service_td");
    let mut named = String::new();
    write!(named, "[\"{}\"]", "ab".repeat(48)).unwrap();
    appraise(&fake, &with_item(DEMO_POLICY, "tdx.quote.service_tds", &named)).unwrap();
}

#[test]
fn a_module_of_version_0_is_judged_by_the_platform_s_level() {
    let mut fake = FakeTdx::accepted();
    fake.body.tee_tcb_svn[1] = 0;
    appraise(&fake, DEMO_POLICY).unwrap();
    fake.body.tee_tcb_svn[0] = 4;
    assert_eq!(code(&appraise(&fake, DEMO_POLICY)), "tdx.tcb_no_level");
}

#[test]
fn policies_that_would_check_nothing_are_refused() {
    for (item, value) in [
        ("tdx.tcb.statuses", "[\"Revoked\"]"),
        ("tdx.tcb.statuses", "\"unchecked\""),
        ("tdx.quote.mr_td", "[\"00\"]"),
        ("tdx.attributes.xfam_allowed", "0xffe7fc"),
        ("tdx.attributes.debug", "\"allowed\""),
    ] {
        let policy = AppraisalPolicy::from_toml(&with_item(STRICT_POLICY, item, value));
        assert!(matches!(policy, Err(PolicyError::Form(_) | PolicyError::Item { .. })), "{item} = {value}");
    }
    // Leaving an item out is no waiver.
    for line in STRICT_POLICY.lines().skip_while(|line| *line != "[tdx.quote]") {
        if line.contains(" = ") {
            let without = STRICT_POLICY.replacen(&format!("{line}\n"), "", 1);
            assert!(AppraisalPolicy::from_toml(&without).is_err(), "{line}");
        }
    }
}

/// One cache for everything: what it remembers changes no verdict.
struct Cached {
    fake: FakeTdx,
    collateral: TdxCollateral,
    cache: TdxCache,
}

impl Cached {
    fn warm() -> Self {
        let fake = FakeTdx::accepted();
        let cached = Self { collateral: fake.collateral(), fake, cache: TdxCache::default() };
        cached.appraise(&cached.fake.quote(), cached.fake.now).unwrap();
        cached
    }

    fn appraise(&self, quote: &[u8], at: UnixTime) -> Result<TdxClaims, Rejection> {
        let roots = TrustRoots::named(self.fake.root_der()).unwrap();
        let policy = parse_policy(DEMO_POLICY);
        tdx::appraise(quote, &self.collateral, &roots, &policy, at, &self.cache, &mut Transcript::new())
    }
}

#[test]
fn a_cache_changes_no_verdict() {
    let cached = Cached::warm();
    // The fake signs its PCK anew for each quote, so the same bytes are appraised twice.
    let quote = cached.fake.quote();
    for _ in 0..2 {
        assert_eq!(cached.appraise(&quote, cached.fake.now).unwrap().status(), TcbStatus::UpToDate);
    }
    for (offset, expected) in [
        (48 + 520, "tdx.signature"),
        (48 + 584 + 4 + 64, "tdx.qe_report_data"),
        (48 + 584 + 4 + 128 + 6 + 20, "tdx.qe_report_signature"),
        (48 + 584 + 4 + 128 + 6 + 384, "tdx.qe_report_signature"),
        (48 + 584 + 4 + 128 + 6 + 450, "tdx.qe_report_data"),
    ] {
        let mut spoilt = quote.clone();
        spoilt[offset] ^= 1;
        assert_eq!(code(&cached.appraise(&spoilt, cached.fake.now)), expected, "byte {offset}");
    }
}

#[test]
fn a_cache_remembers_no_date() {
    let cached = Cached::warm();
    let quote = cached.fake.quote();
    let day = 24 * 3600;
    for (at, expected) in [
        (cached.fake.now.0, "ok"),
        (cached.fake.now.0 + 29 * day, "ok"),
        (cached.fake.now.0 + 29 * day + 1, "tdx.collateral_expired"),
        (cached.fake.now.0 - 2 * day, "tdx.collateral_not_yet_valid"),
        (cached.fake.now.0, "ok"),
    ] {
        assert_eq!(code(&cached.appraise(&quote, UnixTime(at))), expected, "at {at}");
    }
}

#[test]
fn a_cache_answers_for_the_same_roots_and_collateral_only() {
    let cached = Cached::warm();
    let quote = cached.fake.quote();
    let (policy, mut transcript) = (parse_policy(DEMO_POLICY), Transcript::new());
    let mut appraise = |collateral: &TdxCollateral, root: &[u8]| {
        let roots = TrustRoots::named(root).unwrap();
        let result =
            tdx::appraise(&quote, collateral, &roots, &policy, cached.fake.now, &cached.cache, &mut transcript);
        code(&result)
    };
    let root = cached.fake.root_der();
    assert_eq!(appraise(&cached.collateral, root), "ok");
    let stranger = cached.fake.certificate(Holder::Stranger);
    assert_ne!(stranger, root);
    let other = FakeTdx::accepted();
    assert_eq!(appraise(&cached.collateral, other.root_der()), "chain.root_unknown");

    let mut json = cached.fake.collateral_json();
    json["pck_crl"] = json!("");
    let without_list = TdxCollateral::from_json(json.to_string().as_bytes()).unwrap();
    assert_eq!(appraise(&without_list, root), "crl.missing");
    assert_eq!(appraise(&cached.collateral, root), "ok");
}

#[test]
fn collateral_survives_being_written_and_read() {
    let collateral = FakeTdx::accepted().collateral();
    let text = serde_json::to_vec(&collateral).unwrap();
    assert_eq!(TdxCollateral::from_json(&text).unwrap(), collateral);
}
