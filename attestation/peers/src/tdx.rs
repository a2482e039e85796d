//! TDX quotes: every quote with every collateral and time the vectors give it, by `attestation` and by `dcap-qvl`.
//!
//! `dcap-qvl` is asked for its verdict before any policy, with debug TDs and service TDs allowed, as far as it has a
//! choice; we with everything waived. Both say which TCB status and which advisories follow.

use attestation::tdx::{self, TdxCache, TdxCollateral};
use attestation::{Transcript, TrustRoots, UnixTime};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dcap_qvl::QuoteCollateralV3;
use dcap_qvl::verify::{QuoteVerifier, VerifiedReport};
use serde::Deserialize;

use crate::compare::Verdict;
use crate::vectors;

/// Intel's root in the indexes.
const INTEL_ROOT: &str = "trust/intel/IntelSGXRootCA.der";
/// A time in the validity of what `dcap-qvl`'s own generator made, but for cases that are made to be expired.
const GENERATED_AT: &str = "2026-12-01T00:00:00Z";

/// One quote with what is needed to judge it.
#[derive(Debug, Clone)]
pub struct Case {
    /// Identifier in the index, with the collateral's name where a quote has several.
    pub id: String,
    /// The quote.
    pub quote: Vec<u8>,
    /// The collateral, JSON.
    pub collateral: Vec<u8>,
    /// The root that is trusted, DER; `None` for Intel's.
    pub named_root: Option<Vec<u8>>,
    /// The time of judgement.
    pub at: UnixTime,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    #[serde(default)]
    expected: serde_json::Value,
}

/// One collateral and time of a captured quote.
#[derive(Deserialize)]
struct Moment {
    collateral: String,
    at: u64,
}

impl Entry {
    fn file(&self, name: &str) -> Vec<u8> {
        vectors::file(&format!("{}/{name}", self.id))
    }

    fn captured(&self) -> Vec<Case> {
        let moments: Vec<Moment> = serde_json::from_slice(&self.file("expected.json")).unwrap();
        let of = |moment: Moment| {
            let collateral = moment.collateral.rsplit('/').next().unwrap();
            Case {
                id: format!("{} {} {}", self.id, collateral.trim_end_matches(".coll.json"), moment.at),
                quote: self.file("quote.bin"),
                collateral: vectors::file(&format!("tdx/collateral/{collateral}")),
                named_root: None,
                at: UnixTime(moment.at),
            }
        };
        moments.into_iter().map(of).collect()
    }

    /// An altered capture or a synthetic quote, with root and time in the index.
    fn made_here(&self) -> Case {
        let [root, at] = ["root", "at"].map(|key| self.expected[key].as_str().unwrap());
        Case {
            id: self.id.clone(),
            quote: self.file("quote.bin"),
            collateral: self.file("collateral.json"),
            named_root: (root != INTEL_ROOT).then(|| vectors::file(root)),
            at: vectors::unix_time(at),
        }
    }

    /// What `dcap-qvl`'s generator made; the root is the last certificate of the chain of its TCB signer.
    fn made_by_dcap_qvl(&self) -> Case {
        let collateral = self.file("collateral.json");
        let json: serde_json::Value = serde_json::from_slice(&collateral).unwrap();
        let chain = json["tcb_info_issuer_chain"].as_str().unwrap();
        let root = &chain[chain.rfind("-----BEGIN CERTIFICATE-----").unwrap()..];
        Case {
            id: self.id.clone(),
            quote: self.file("quote.bin"),
            collateral,
            named_root: Some(der_of_pem(root)),
            at: vectors::unix_time(GENERATED_AT),
        }
    }
}

/// One PEM certificate in DER.
fn der_of_pem(pem: &str) -> Vec<u8> {
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(base64).unwrap()
}

/// Every quote with every collateral and time.
#[must_use]
pub fn cases() -> Vec<Case> {
    let entries: Vec<Entry> = vectors::index("tdx");
    let of = |entry: &Entry| match entry.id.split('/').nth(1).unwrap() {
        "real" => entry.captured(),
        "synthetic" | "negative" => vec![entry.made_here()],
        "dcap-qvl-synthetic" => vec![entry.made_by_dcap_qvl()],
        "collateral" => Vec::new(),
        other => panic!("{other}"),
    };
    entries.iter().flat_map(of).collect()
}

/// Status and sorted advisories as one text.
fn conclusion(status: &str, advisories: &[String]) -> Verdict {
    let mut advisories = advisories.to_vec();
    advisories.sort_unstable();
    advisories.dedup();
    Verdict::Accepted(format!("{status} [{}]", advisories.join(" ")))
}

impl Case {
    /// The roots this case is judged under.
    #[must_use]
    pub fn roots(&self) -> TrustRoots {
        self.named_root.as_deref().map_or_else(TrustRoots::vendor, |root| TrustRoots::named(root).unwrap())
    }

    /// By `attestation`, with everything waived that can be.
    #[must_use]
    pub fn ours(&self) -> Verdict {
        let (roots, policy, cache) = (self.roots(), vectors::waived_policy(), TdxCache::default());
        let result = TdxCollateral::from_json(&self.collateral).and_then(|collateral| {
            tdx::appraise(&self.quote, &collateral, &roots, &policy, self.at, &cache, &mut Transcript::new())
        });
        match result {
            Ok(claims) => conclusion(&claims.status().to_string(), claims.advisories()),
            Err(rejection) => Verdict::Refused(rejection.code().to_owned()),
        }
    }

    /// By `dcap-qvl`.
    #[must_use]
    pub fn by_dcap_qvl(&self) -> Verdict {
        match serde_json::from_slice(&self.collateral) {
            Ok(collateral) => match self.run_dcap_qvl(&self.verifier(), &collateral) {
                Ok(report) => conclusion(&report.status, &report.advisory_ids),
                Err(error) => Verdict::Refused(format!("dcap-qvl: {error}")),
            },
            Err(error) => Verdict::Refused(format!("dcap-qvl: {error}")),
        }
    }

    /// `dcap-qvl` under this case's root.
    #[must_use]
    pub fn verifier(&self) -> QuoteVerifier {
        let verifier = self.named_root.clone().map_or_else(QuoteVerifier::new_prod, QuoteVerifier::new);
        verifier.allow_debug(true).allow_service_td(true)
    }

    /// Everything `dcap-qvl` does from quote and decoded collateral to its report.
    ///
    /// # Errors
    /// `dcap-qvl`'s own, as text.
    pub fn run_dcap_qvl(
        &self,
        verifier: &QuoteVerifier,
        collateral: &QuoteCollateralV3,
    ) -> Result<VerifiedReport, String> {
        verifier.verify(&self.quote, collateral, self.at.0).map_err(|error| format!("{error:#}"))
    }
}
