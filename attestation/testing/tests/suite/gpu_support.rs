//! What the GPU tests share: one cached set of keys, and one accepted case a test spoils.

use std::fs::{self, File};
use std::path::Path;
use std::sync::OnceLock;

use attestation::gpu::{self, GpuCache, GpuClaims, GpuEndorsements, GpuEvidence};
use attestation::{AppraisalPolicy, Rejection, STRICT_POLICY, Transcript, TrustRoots, UnixTime};
use attestation_testing::gpu::{FakeGpu, GpuKeys, simulated_gpu_roots};

use crate::support::parse_policy;

/// 2026-06-01T00:00:00Z.
pub(crate) const NOW: UnixTime = UnixTime(1_780_272_000);
/// The nonce of accepted cases.
pub(crate) const NONCE: [u8; 32] = [0x4e; 32];

/// Keys generated once per build directory, restored from what was saved.
pub(crate) fn keys() -> &'static GpuKeys {
    static KEYS: OnceLock<GpuKeys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let lock = File::create(directory.join("gpu-keys.lock")).unwrap();
        lock.lock().unwrap();
        let cache = directory.join("gpu-keys.json");
        if let Some(keys) = fs::read(&cache).ok().and_then(|bytes| GpuKeys::from_json(&bytes).ok()) {
            return keys;
        }
        let keys = GpuKeys::generate().unwrap();
        fs::write(&cache, keys.to_json().unwrap()).unwrap();
        keys
    })
}

/// An H100 the strict policy accepts.
pub(crate) fn accepted() -> FakeGpu<'static> {
    FakeGpu::accepted(keys(), NOW)
}

/// Everything one appraisal takes.
pub(crate) struct Case {
    pub(crate) evidence: Vec<GpuEvidence>,
    pub(crate) endorsements: GpuEndorsements,
    pub(crate) nonce: [u8; 32],
    pub(crate) roots: TrustRoots,
    pub(crate) policy: AppraisalPolicy,
    pub(crate) now: UnixTime,
    pub(crate) cache: GpuCache,
}

impl Case {
    /// `gpu`, asked with the usual nonce, under the strict policy.
    pub(crate) fn of(gpu: &FakeGpu<'_>) -> Self {
        Self {
            evidence: vec![gpu.evidence(NONCE)],
            endorsements: gpu.endorsements(),
            nonce: NONCE,
            roots: simulated_gpu_roots(keys()).unwrap(),
            policy: parse_policy(STRICT_POLICY),
            now: NOW,
            cache: GpuCache::default(),
        }
    }

    pub(crate) fn appraise(&self) -> Result<GpuClaims, Rejection> {
        self.transcribed(&mut Transcript::new())
    }

    pub(crate) fn transcribed(&self, transcript: &mut Transcript) -> Result<GpuClaims, Rejection> {
        let Self { evidence, endorsements, nonce, roots, policy, now, cache } = self;
        gpu::appraise(evidence, endorsements, nonce, roots, policy, *now, cache, transcript)
    }
}
