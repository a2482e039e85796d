//! What the TDX tests share: the vector index, collateral by file, and one call to appraise.

use std::fs;

use attestation::tdx::{self, TdxCache, TdxClaims, TdxCollateral};
use attestation::{Rejection, Transcript, TrustRoots, UnixTime};
use serde::Deserialize;
use serde_json::Value;

use crate::support::{CAPTURED_POLICY, parse_policy, vectors};

/// One entry of the TDX vector index.
#[derive(Debug, Deserialize)]
pub(crate) struct TdxEntry {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) expected: Value,
    #[serde(default)]
    pub(crate) fields: Value,
    #[serde(default)]
    pub(crate) pck: Value,
}

/// One verdict another verifier gave on a captured quote: which collateral, when, and what it said.
#[derive(Debug, Deserialize)]
pub(crate) struct RealRow {
    pub(crate) collateral: String,
    pub(crate) at: u64,
    pub(crate) window: [String; 2],
    #[serde(rename = "dcap_qvl_allow_debug_and_service_td")]
    pub(crate) theirs: Value,
}

impl TdxEntry {
    pub(crate) fn name(&self) -> &str {
        self.id.rsplit('/').next().unwrap()
    }

    pub(crate) fn file(&self, name: &str) -> Vec<u8> {
        fs::read(vectors().join(&self.id).join(name)).unwrap()
    }

    pub(crate) fn quote(&self) -> Vec<u8> {
        self.file("quote.bin")
    }

    pub(crate) fn collateral(&self) -> TdxCollateral {
        TdxCollateral::from_json(&self.file("collateral.json")).unwrap()
    }

    pub(crate) fn rows(&self) -> Vec<RealRow> {
        serde_json::from_slice(&self.file("expected.json")).unwrap()
    }
}

impl RealRow {
    pub(crate) fn collateral(&self) -> TdxCollateral {
        let name = self.collateral.rsplit('/').next().unwrap();
        TdxCollateral::from_json(&fs::read(vectors().join("tdx/collateral").join(name)).unwrap()).unwrap()
    }
}

/// The entries whose id starts with `prefix`.
pub(crate) fn tdx_entries(prefix: &str) -> Vec<TdxEntry> {
    let index = fs::read(vectors().join("tdx/index.json")).unwrap();
    let all: Vec<TdxEntry> = serde_json::from_slice(&index).unwrap();
    let found: Vec<TdxEntry> = all.into_iter().filter(|entry| entry.id.starts_with(prefix)).collect();
    assert!(!found.is_empty(), "{prefix}");
    found
}

pub(crate) fn tdx_entry(id: &str) -> TdxEntry {
    tdx_entries(id).into_iter().find(|entry| entry.id == id).unwrap()
}

/// Roots in the repository: `trust/...` of the vectors, or Intel's own.
pub(crate) fn roots_named(root: &str) -> TrustRoots {
    if root == "trust/intel/IntelSGXRootCA.der" {
        return TrustRoots::vendor();
    }
    TrustRoots::named(&fs::read(vectors().join(root)).unwrap()).unwrap()
}

/// Appraise with nothing cached.
pub(crate) fn appraise_quote(
    quote: &[u8],
    collateral: &TdxCollateral,
    roots: &TrustRoots,
    policy: &str,
    at: UnixTime,
) -> Result<TdxClaims, Rejection> {
    let (policy, cache) = (parse_policy(policy), TdxCache::default());
    tdx::appraise(quote, collateral, roots, &policy, at, &cache, &mut Transcript::new())
}

/// Appraise a captured quote under Intel's root and the policy for captures.
pub(crate) fn appraise_captured(
    quote: &[u8],
    collateral: &TdxCollateral,
    at: UnixTime,
) -> Result<TdxClaims, Rejection> {
    appraise_quote(quote, collateral, &TrustRoots::vendor(), CAPTURED_POLICY, at)
}
