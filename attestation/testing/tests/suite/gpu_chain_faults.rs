//! Rows of the GPU table about certificates and OCSP responses.

use attestation::UnixTime;
use attestation_testing::gpu::{
    EcCurve, FakeGpu, FakeOcsp, GpuCertificate, KeyName, OcspStatus, Responder, ResponderName,
};

use crate::gpu_faults::Row;
use crate::gpu_faults::Spoil::{self, Endorsements, Evidence, Gpu};
use crate::gpu_support::{Case, NOW, accepted};
use crate::support::{code, parse_policy, with_item};

fn signer<'a>(gpu: &'a mut FakeGpu<'_>) -> &'a mut GpuCertificate {
    &mut gpu.driver_rim.as_mut().unwrap().chain[0]
}

pub(crate) fn chain_rows() -> Vec<Row> {
    vec![
        ("chain.malformed", Evidence(|evidence| evidence.certificate_chain.clear())),
        ("chain.malformed", Evidence(|evidence| evidence.certificate_chain.push(b'x'))),
        ("chain.malformed", Evidence(|evidence| evidence.certificate_chain.resize(16 * 1024 + 1, b'\n'))),
        ("chain.length", Gpu(|gpu| drop(gpu.chain.remove(1)))),
        ("chain.length", Gpu(|gpu| drop(gpu.chain.pop()))),
        ("chain.length", Gpu(|gpu| gpu.chain.push(gpu.chain[4].clone()))),
        ("chain.length", Gpu(|gpu| drop(gpu.driver_rim.as_mut().unwrap().chain.remove(1)))),
        ("chain.root_unknown", Spoil::Case(|case| case.roots = attestation::TrustRoots::vendor())),
        ("chain.root_unknown", Gpu(|gpu| gpu.chain[4].serial = vec![9])),
        ("chain.root_unknown", Gpu(|gpu| gpu.driver_rim.as_mut().unwrap().chain[3].serial = vec![9])),
        // A root of devices vouches for no manifest, and the other way round.
        ("chain.root_unknown", Gpu(|gpu| gpu.driver_rim.as_mut().unwrap().chain[3] = gpu.chain[4].clone())),
        ("chain.name", Gpu(|gpu| gpu.chain[0].issuer_name = "SIMULATED other".to_owned())),
        ("chain.name", Gpu(|gpu| gpu.chain[0].common_name = "SIMULATED GH100 A01 GSP FMC".to_owned())),
        ("chain.name", Gpu(|gpu| gpu.chain[0].common_name = "SIMULATED GH100 A02 GSP FMC LF".to_owned())),
        (
            "chain.name",
            Gpu(|gpu| {
                gpu.chain[2].common_name = "SIMULATED GB100 Provisioner ICA 1".to_owned();
                gpu.chain[1].issuer_name = gpu.chain[2].common_name.clone();
            }),
        ),
        (
            "chain.name",
            Gpu(|gpu| {
                gpu.chain[3].common_name = "SIMULATED GH100 Something".to_owned();
                gpu.chain[2].issuer_name = gpu.chain[3].common_name.clone();
            }),
        ),
        ("chain.name", Gpu(|gpu| signer(gpu).issuer_name = "SIMULATED other".to_owned())),
        ("chain.algorithm", Gpu(|gpu| gpu.chain[0].signed_by = KeyName::P256)),
        ("chain.algorithm", Gpu(|gpu| signer(gpu).signed_by = KeyName::P256)),
        ("chain.key", Gpu(|gpu| gpu.chain[0].curve = EcCurve::P256)),
        ("chain.key", Gpu(|gpu| signer(gpu).curve = EcCurve::P256)),
        ("chain.signature", Gpu(|gpu| gpu.chain[0].signed_by = KeyName::Provisioner)),
        ("chain.signature", Gpu(|gpu| gpu.chain[3].signed_by = KeyName::Identity)),
        ("chain.signature", Gpu(|gpu| signer(gpu).signed_by = KeyName::RimCa)),
        ("chain.not_yet_valid", Gpu(|gpu| gpu.chain[1].not_before = UnixTime(NOW.0 + 1))),
        ("chain.not_yet_valid", Gpu(|gpu| signer(gpu).not_before = UnixTime(NOW.0 + 1))),
        ("chain.expired", Gpu(|gpu| gpu.chain[2].not_after = UnixTime(NOW.0 - 1))),
        ("chain.expired", Gpu(|gpu| signer(gpu).not_after = UnixTime(NOW.0 - 1))),
        ("chain.role", Gpu(|gpu| gpu.chain[0].is_ca = true)),
        ("chain.role", Gpu(|gpu| gpu.chain[0].key_usage = 0x04)),
        ("chain.role", Gpu(|gpu| gpu.chain[1].is_ca = false)),
        ("chain.role", Gpu(|gpu| gpu.chain[1].key_usage = 0x80)),
        ("chain.role", Gpu(|gpu| gpu.chain[2].path_len = Some(0))),
        ("chain.role", Gpu(|gpu| signer(gpu).is_ca = true)),
        ("chain.role", Gpu(|gpu| signer(gpu).key_usage = 0x04)),
        ("chain.role", Gpu(|gpu| gpu.driver_rim.as_mut().unwrap().chain[1].is_ca = false)),
        ("chain.critical_extension", Gpu(|gpu| gpu.chain[0].unknown_critical_extension = true)),
        ("chain.critical_extension", Gpu(|gpu| signer(gpu).unknown_critical_extension = true)),
    ]
}

/// The answer about the boot ROM, by somebody its issuer authorised.
fn delegated(gpu: &mut FakeGpu<'_>, change: impl Fn(&mut GpuCertificate)) {
    let mut delegate = FakeOcsp::delegate_of(&gpu.chain[2]);
    change(&mut delegate);
    gpu.ocsp[0].responder = Responder::Delegate(Box::new(delegate));
}

pub(crate) fn ocsp_rows() -> Vec<Row> {
    vec![
        ("gpu.ocsp.missing", Gpu(|gpu| drop(gpu.ocsp.remove(0)))),
        ("gpu.ocsp.missing", Gpu(|gpu| drop(gpu.ocsp.remove(2)))),
        ("gpu.ocsp.missing", Gpu(|gpu| drop(gpu.ocsp.remove(3)))),
        ("gpu.ocsp.missing", Gpu(|gpu| drop(gpu.ocsp.pop()))),
        ("gpu.ocsp.malformed", Endorsements(|given| given.ocsp[0].response.push(0))),
        ("gpu.ocsp.malformed", Endorsements(|given| given.ocsp[0].response.truncate(100))),
        ("gpu.ocsp.malformed", Endorsements(|given| given.ocsp[0].response.clear())),
        ("gpu.ocsp.malformed", Endorsements(|given| given.ocsp[0].response.resize(16 * 1024 + 1, 0))),
        ("gpu.ocsp.malformed", Gpu(|gpu| gpu.ocsp[0].next_update = None)),
        ("gpu.ocsp.malformed", Gpu(|gpu| gpu.ocsp[0].unknown_critical_extension = true)),
        ("gpu.ocsp.malformed", Endorsements(|given| given.ocsp = vec![given.ocsp[0].clone(); 129])),
        ("gpu.ocsp.status", Gpu(|gpu| gpu.ocsp[0].response_status = 3)),
        ("gpu.ocsp.cert_id", Gpu(|gpu| gpu.ocsp[0].serial.push(1))),
        ("gpu.ocsp.cert_id", Gpu(|gpu| gpu.ocsp[0].issuer_name.push('x'))),
        ("gpu.ocsp.cert_id", Gpu(|gpu| gpu.ocsp[0].issuer_key = KeyName::Identity)),
        ("gpu.ocsp.responder", Gpu(|gpu| delegated(gpu, |delegate| delegate.ocsp_signing = false))),
        (
            "gpu.ocsp.responder",
            Gpu(|gpu| {
                let delegate = FakeOcsp::delegate_of(&gpu.chain[2]);
                gpu.ocsp[0].responder = Responder::Stranger(Box::new(delegate));
            }),
        ),
        ("chain.name", Gpu(|gpu| delegated(gpu, |delegate| delegate.issuer_name = "SIMULATED other".to_owned()))),
        ("chain.signature", Gpu(|gpu| delegated(gpu, |delegate| delegate.signed_by = KeyName::Identity))),
        ("chain.expired", Gpu(|gpu| delegated(gpu, |delegate| delegate.not_after = UnixTime(NOW.0 - 1)))),
        ("chain.role", Gpu(|gpu| delegated(gpu, |delegate| delegate.is_ca = true))),
        ("chain.role", Gpu(|gpu| delegated(gpu, |delegate| delegate.key_usage = 0x04))),
        ("chain.algorithm", Gpu(|gpu| delegated(gpu, |delegate| delegate.signed_by = KeyName::P256))),
        ("gpu.ocsp.algorithm", Gpu(|gpu| gpu.ocsp[0].signed_by = Some(KeyName::P256))),
        ("gpu.ocsp.signature", Gpu(|gpu| gpu.ocsp[0].signed_by = Some(KeyName::OcspDelegate))),
        ("gpu.ocsp.signature", Gpu(|gpu| gpu.ocsp[3].signed_by = Some(KeyName::RimCa))),
        ("gpu.ocsp.nonce", Gpu(|gpu| gpu.ocsp[0].nonce = None)),
        ("gpu.ocsp.nonce", Gpu(|gpu| gpu.ocsp[0].request_nonce = Some([0x0d; 32]))),
        (
            "gpu.ocsp.not_yet_valid",
            Gpu(|gpu| {
                gpu.ocsp[0].this_update = UnixTime(NOW.0 + 1);
                gpu.ocsp[0].produced_at = UnixTime(NOW.0 + 1);
            }),
        ),
        (
            "gpu.ocsp.expired",
            Gpu(|gpu| {
                gpu.ocsp[0].this_update = UnixTime(NOW.0 - 2);
                gpu.ocsp[0].next_update = Some(UnixTime(NOW.0 - 1));
            }),
        ),
        ("gpu.ocsp.produced_at", Gpu(|gpu| gpu.ocsp[0].produced_at = UnixTime(NOW.0 - 1))),
        ("gpu.ocsp.too_old", Gpu(|gpu| gpu.ocsp[0].this_update = UnixTime(NOW.0 - 86_401))),
        ("gpu.ocsp.too_old", Gpu(|gpu| gpu.ocsp[4].this_update = UnixTime(NOW.0 - 86_401))),
        ("gpu.ocsp.revoked", Gpu(|gpu| gpu.ocsp[0].status = OcspStatus::Revoked(None))),
        ("gpu.ocsp.revoked", Gpu(|gpu| gpu.ocsp[5].status = OcspStatus::Revoked(Some(1)))),
        ("gpu.ocsp.hold", Gpu(|gpu| gpu.ocsp[0].status = OcspStatus::Revoked(Some(6)))),
        ("gpu.ocsp.hold", Gpu(|gpu| gpu.ocsp[3].status = OcspStatus::Revoked(Some(6)))),
        ("gpu.ocsp.unknown", Gpu(|gpu| gpu.ocsp[1].status = OcspStatus::Unknown)),
    ]
}

#[test]
fn delegates_and_key_hashes_are_accepted() {
    let mut gpu = accepted();
    delegated(&mut gpu, |_| {});
    gpu.ocsp[1].responder_name = ResponderName::KeyHash;
    assert_eq!(code(&Case::of(&gpu).appraise()), "ok");
    gpu.ocsp[0].responder_name = ResponderName::KeyHash;
    assert_eq!(code(&Case::of(&gpu).appraise()), "ok");
}

/// Only the signer of a manifest may be on hold, and only when the policy says so.
#[test]
fn a_hold_is_accepted_of_manifest_signers_by_policy_only() {
    let lenient = "{ max_age_secs = 86400, allow_hold = true }";
    let lenient = with_item(attestation::STRICT_POLICY, "gpu.revocation.rim_ocsp", lenient);
    let waived = with_item(&lenient, "gpu.revocation.rim_ocsp", "\"unchecked\"");
    let verdict = |policy: &str, at: usize| {
        let mut gpu = accepted();
        gpu.ocsp[at].status = OcspStatus::Revoked(Some(6));
        let mut case = Case::of(&gpu);
        case.policy = parse_policy(policy);
        code(&case.appraise())
    };
    let verdicts: Vec<_> = (0..6).map(|at| verdict(&lenient, at)).collect();
    assert_eq!(verdicts, ["gpu.ocsp.hold", "gpu.ocsp.hold", "gpu.ocsp.hold", "ok", "gpu.ocsp.hold", "gpu.ocsp.hold"]);
    // A response that was given must be good, whether or not it was asked for.
    assert_eq!(verdict(&waived, 3), "gpu.ocsp.hold");
}

#[test]
fn dates_of_responses_include_both_ends() {
    let verdict = |this_update: u64, next_update: u64| {
        let mut gpu = accepted();
        gpu.ocsp[0].this_update = UnixTime(this_update);
        gpu.ocsp[0].next_update = Some(UnixTime(next_update));
        code(&Case::of(&gpu).appraise())
    };
    assert_eq!(verdict(NOW.0, NOW.0), "ok");
    assert_eq!(verdict(NOW.0 - 86_400, NOW.0), "ok");
    assert_eq!(verdict(NOW.0 - 86_401, NOW.0), "gpu.ocsp.too_old");
    assert_eq!(verdict(NOW.0 - 1, NOW.0 - 1), "gpu.ocsp.expired");
}
