//! What stays the same while one input is fuzzed: captures, roots, the policy for captures, and a time.

use std::sync::OnceLock;

use attestation::gpu::GpuEvidence;
use attestation::snp::{Product, SigningKey};
use attestation::tdx::TdxCollateral;
use attestation::{
    AppraisalPolicy, Base64, SnpEndorsements, TrustRoots, UnixTime, VerificationCache, vendor_certificates,
};

/// 2026-07-01T00:00:00Z.
pub(crate) const NOW: UnixTime = UnixTime(1_782_864_000);

pub(crate) const SNP_REPORT: &[u8] = include_bytes!("../../../tests/vectors/snp/real/turin-v5-vcek-aci/report.bin");
pub(crate) const VCEK: &[u8] = include_bytes!("../../../tests/vectors/snp/real/turin-v5-vcek-aci/vcek.der");
const GPU_EVIDENCE: &[u8] = include_bytes!("../../../tests/vectors/nvidia/real/h100-pcie-545.00-FULL/evidence.json");
pub(crate) const OCSP_SUBJECT: &[u8] =
    include_bytes!("../../../tests/vectors/nvidia/ocsp/good-by-delegate/subject.der");
pub(crate) const OCSP_ISSUER: &[u8] = include_bytes!("../../../tests/vectors/nvidia/ocsp/good-by-delegate/issuer.der");
const COLLATERAL: &[u8] =
    include_bytes!("../../../tests/vectors/tdx/collateral/00806f050000-2026-06-30-eval19-7037c6.coll.json");
pub(crate) const QUOTE: &[u8] = include_bytes!("../../../tests/vectors/tdx/real/v4-spr-00806f05-gcp-2026/quote.bin");
const POLICY: &str = include_str!("../../policies/captured.toml");

/// Roots, policy, cache and collateral, made once.
pub(crate) struct Fixed {
    pub(crate) roots: TrustRoots,
    pub(crate) policy: AppraisalPolicy,
    pub(crate) cache: VerificationCache,
    pub(crate) collateral: TdxCollateral,
    /// The report of a captured H100.
    pub(crate) gpu_report: Vec<u8>,
}

pub(crate) fn fixed() -> &'static Fixed {
    static FIXED: OnceLock<Fixed> = OnceLock::new();
    FIXED.get_or_init(|| Fixed {
        roots: TrustRoots::vendor(),
        policy: AppraisalPolicy::from_toml(POLICY).expect("invariant: the shipped policy parses"),
        cache: VerificationCache::default(),
        collateral: TdxCollateral::from_json(COLLATERAL).expect("invariant: captured collateral parses"),
        gpu_report: GpuEvidence::list_from_json(GPU_EVIDENCE).unwrap_or_default().remove(0).report,
    })
}

/// The endorsements of [`SNP_REPORT`], with another key certificate and another revocation list.
pub(crate) fn snp_endorsements(vek: &[u8], crl: Option<&[u8]>) -> SnpEndorsements {
    let published = vendor_certificates(Product::Turin, SigningKey::Vcek);
    SnpEndorsements {
        vek: Base64(vek.to_vec()),
        intermediate: Base64(published.intermediate.to_vec()),
        root: Base64(published.root.to_vec()),
        crl: crl.map(|crl| Base64(crl.to_vec())),
    }
}
