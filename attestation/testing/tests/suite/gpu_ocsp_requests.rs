//! What a responder is to be asked, held against OpenSSL's requests and against what an appraisal looks for.

use std::fs;

use attestation::gpu::{GpuEvidence, ocsp_requests};
use attestation::{TrustRoots, UnixTime};
use attestation_testing::gpu::{FakeGpu, GpuKeys, simulated_gpu_roots};

use crate::support::{code, vectors};

const NOW: UnixTime = UnixTime(1_800_000_000);
/// A real H100 with manifests for its driver and board.
const CAPTURED: &str = "nvidia/real/h100-pcie-545.00-FULL";
/// `openssl ocsp -sha384 -no_nonce -issuer 2.pem -cert 1.pem -reqout 1.der`, and so on up to the root, over its chain.
const BY_OPENSSL: [&str; 3] = [
    "308189308186308183308180307e300d060960864801650304020205000430de9e7fc5a7794eb338f829cbb0d72901a429ea\
     c54d7a8f8280d616b4f24a77c7746f9678c7914dd26e1c85df428cf16d04309666bcf53cd46c03999203afecd7fcd315ce83\
     69aa5de92bf6f7f143497a6ebfa904365a55d336a96f7a923f0c28e763020941ffeeb20009e0be49",
    "30819130818e30818b308188308185300d06096086480165030402020500043046d5e120b7188c44743c9394d9b7f62609f9\
     9d7fd1653e65d1edfd418deb110905d7ac48a8699a2b5f83d7fd740aafa9043061aa362c57f7648b9945d1c610a1e822dbf8\
     82ed9b188647e629f0a8212c2f9364ee88c48ae2f50ec5c69031556eab7d02106afe7184f92232c8df7b242261776e56",
    "30819130818e30818b308188308185300d0609608648016503040202050004304136e1670d50cca9ec47097e7aedbf9eeea0\
     870b9d2824160e179ddfe0dfaa32dae76e1cc1ced67320042471685e01d80430caf2995c609f0c5f443308d6c9b5ca90138c\
     3adee0f0c7076cec3fed65c1b6c2c7b7dc8425843e799af7b07dcbaeba5202104c255ede3bd001bf3f4a3b605fca898a",
];

#[test]
fn requests_are_those_that_openssl_makes() {
    let file = |name: &str| fs::read(vectors().join(CAPTURED).join(name)).unwrap();
    let evidence = GpuEvidence::list_from_json(&file("evidence.json")).unwrap();
    let (driver, vbios) = (file("driver-rim.xml"), file("vbios-rim.xml"));
    let requests = ocsp_requests(&evidence, &[&driver, &vbios], &TrustRoots::vendor()).unwrap();
    let ours: Vec<_> = requests.iter().map(|request| hex::encode(request.to_der())).collect();
    assert_eq!(ours[..3], BY_OPENSSL);
    // Both manifests come from one issuer; their signers differ.
    assert!((5..=9).contains(&ours.len()), "{}", ours.len());
}

#[test]
fn each_certificate_that_an_appraisal_wants_an_answer_about_is_asked_about_once() {
    let keys = GpuKeys::generate().unwrap();
    let roots = simulated_gpu_roots(&keys).unwrap();
    let gpus = [FakeGpu::accepted(&keys, NOW), FakeGpu::numbered(&keys, NOW, 7)];
    let evidence: Vec<_> = gpus.iter().map(|gpu| gpu.evidence([1; 32])).collect();
    let [first, second] = gpus.map(|gpu| gpu.endorsements());
    let rims = [first.driver_rim.as_deref().unwrap(), first.vbios_rim.as_deref().unwrap()];
    let requests = ocsp_requests(&evidence, &rims, &roots).unwrap();
    for answer in first.ocsp.iter().chain(&second.ocsp) {
        let answered = requests.iter().filter(|request| request.require_answered_by(&answer.response).is_ok());
        assert_eq!(answered.count(), 1);
    }
    let alone = ocsp_requests(&evidence[..1], &rims, &roots).unwrap();
    assert_eq!(
        (alone.len(), requests.len()),
        (first.ocsp.len(), first.ocsp.len() + 1),
        "one certificate is the second's own"
    );
    assert_eq!(code(&alone[0].require_answered_by(b"<html>")), "gpu.ocsp.malformed");
    assert_eq!(code(&ocsp_requests(&evidence, &rims, &TrustRoots::vendor())), "chain.root_unknown");
}
