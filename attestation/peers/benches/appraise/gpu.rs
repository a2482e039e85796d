//! GPU evidence: a report with its chain alone, and with both manifests.

use attestation::gpu::{self, GpuCache, GpuEndorsements, GpuEvidence};
use attestation::{Transcript, TrustRoots, UnixTime};
use attestation_peers::vectors;

use crate::floor::{self, Manifest, verify_all};
use crate::measure::{Contender, Platform};
use crate::{COLD, PythonTimes, WARM};

pub(crate) const CASE: &str = "nvidia/real/h100-pcie-545.00-FULL";

/// Inside the validity of both manifests' signers.
const AT: UnixTime = UnixTime(1_719_792_000);

pub(crate) fn evidence(python: &PythonTimes) {
    let file = |name: &str| vectors::file(&format!("{CASE}/{name}"));
    let evidence = GpuEvidence::list_from_json(&file("evidence.json")).unwrap();
    let manifests = GpuEndorsements {
        driver_rim: Some(file("driver-rim.xml")),
        vbios_rim: Some(file("vbios-rim.xml")),
        ocsp: Vec::new(),
    };
    let alone = GpuEndorsements::default();
    let (roots, policy) = (TrustRoots::vendor(), vectors::waived_policy());
    let mut nonce = [0; 32];
    nonce.copy_from_slice(&evidence[0].report[4..36]);
    let appraise = |endorsements: &GpuEndorsements, cache: &GpuCache| {
        let mut transcript = Transcript::new();
        gpu::appraise(&evidence, endorsements, &nonce, &roots, &policy, AT, cache, &mut transcript).unwrap()
    };

    let device = floor::gpu(&evidence[0].report, &evidence[0].certificate_chain);
    let last = &device[device.len() - 1..];
    let rims = ["driver-rim.xml", "vbios-rim.xml"].map(|name| Manifest::read(&format!("{CASE}/{name}")));
    let count = device.len() + rims.iter().map(Manifest::count).sum::<usize>();
    let one = "  floor: 1 P-384 (aws-lc-rs)";

    let warm = GpuCache::default();
    Platform {
        title: format!("GPU report and device chain ({CASE})"),
        cold: Contender::new(COLD, || appraise(&alone, &GpuCache::default())),
        warm: Some(Contender::new(WARM, || appraise(&alone, &warm))),
        cold_floor: Contender::new(&format!("  floor: {} P-384 (aws-lc-rs)", device.len()), || verify_all(&device)),
        warm_floor: Some(Contender::new(one, || verify_all(last))),
        peers: Vec::new(),
        reported: python.of("gpu"),
    }
    .run();

    let warm = GpuCache::default();
    Platform {
        title: format!("GPU evidence with both manifests ({CASE})"),
        cold: Contender::new(COLD, || appraise(&manifests, &GpuCache::default())),
        warm: Some(Contender::new(WARM, || appraise(&manifests, &warm))),
        cold_floor: Contender::new(&format!("  floor: {count} P-384, 2 SHA-384 (aws-lc-rs)"), || {
            verify_all(&device);
            rims.iter().for_each(Manifest::verify);
        }),
        warm_floor: Some(Contender::new(one, || verify_all(last))),
        peers: Vec::new(),
        reported: Vec::new(),
    }
    .run();
}
