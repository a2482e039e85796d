//! SEV-SNP evidence on its own: a report, its endorsements, roots, a policy and a time in, [`SnpClaims`] out.
//!
//! Decides: whether the report is genuine and acceptable. Steps 1 to 4 establish that it is genuine and stop at the
//! first failure, because what follows would read unauthenticated bytes. Step 5 makes every policy check, records each,
//! and refuses with the first that failed. What REPORT_DATA must be only a live channel can say.
//!
//! 1. decode the report; 2. verify the chain and its agreement with the report; 3. revocation; 4. verify the
//!    report's signature; 5. hold the report against the policy.

use std::sync::Arc;

use crate::cache::Store;
use crate::crypto;
use crate::document::SnpEndorsements;
use crate::lp::Lp;
use crate::policy::{AppraisalPolicy, Platform, Rule};
use crate::rejection::Rejection;
use crate::roots::TrustRoots;
use crate::snp::accept::{GenuineReport, hold_against};
use crate::snp::chain::{self, ChainDer, EndorsedKey};
use crate::snp::{Product, SigningKey, SnpReport, Tcb, verify};
use crate::time::UnixTime;
use crate::transcript::Transcript;
use crate::x509::crl::CrlDates;

/// Chains and revocation lists already verified. Repeating an appraisal then costs one signature.
#[derive(Debug, Default)]
pub struct SnpCache {
    chains: Store<EndorsedKey>,
    lists: Store<CrlDates>,
}

/// What an accepted report says, and what is known about the key that signed it.
#[derive(Debug, Clone)]
pub struct SnpClaims {
    report: SnpReport,
    product: Product,
    signing_key: SigningKey,
    csp_id: Option<String>,
    reported_tcb: Tcb,
    unchecked: Vec<&'static str>,
}

impl SnpClaims {
    /// The report.
    #[must_use]
    pub fn report(&self) -> &SnpReport {
        &self.report
    }

    /// Product line.
    #[must_use]
    pub fn product(&self) -> Product {
        self.product
    }

    /// Kind of the endorsement key.
    #[must_use]
    pub fn signing_key(&self) -> SigningKey {
        self.signing_key
    }

    /// The cloud provider a VLEK belongs to.
    #[must_use]
    pub fn csp_id(&self) -> Option<&str> {
        self.csp_id.as_deref()
    }

    /// Reported TCB.
    #[must_use]
    pub fn reported_tcb(&self) -> Tcb {
        self.reported_tcb
    }

    /// Items the policy leaves unchecked.
    #[must_use]
    pub fn unchecked(&self) -> &[&'static str] {
        &self.unchecked
    }
}

/// Appraise a report of 1184 bytes.
///
/// # Errors
/// The first reason to refuse; `transcript` then ends in, or contains, its FAIL line.
pub fn appraise(
    report: &[u8],
    endorsements: &SnpEndorsements,
    roots: &TrustRoots,
    policy: &AppraisalPolicy,
    now: UnixTime,
    cache: &SnpCache,
    transcript: &mut Transcript,
) -> Result<SnpClaims, Rejection> {
    let Platform::Items(items) = &policy.items().snp else {
        let refused = Err(Rejection::PlatformRefused { platform: "SEV-SNP" });
        return transcript.check("snp.platform_accepted", refused, |_| String::new());
    };
    let mut unchecked = Vec::new();
    let der = ChainDer {
        vek: &endorsements.vek.0,
        intermediate: &endorsements.intermediate.0,
        root_hint: &endorsements.root.0,
        crl: endorsements.crl.as_ref().map(|crl| crl.0.as_slice()),
    };

    // 1. Decode.
    let report = transcript
        .check("snp.report.decode", SnpReport::parse(report), |report| format!("version {}", report.version))?;

    // 2. Chain, and its agreement with the report.
    let key = cache.chains.get_or_verify(der.digest(), || chain::verify_chain(der, roots));
    let key = key.and_then(|key| key.require_valid_at(now).map_err(Rejection::from).map(|()| key));
    let key = transcript.check("snp.chain.verify", key, |key| {
        format!("{} {} under {} roots", key.product, key.kind, roots.assurance())
    })?;
    // A remembered chain ends in a root that was trusted then: it has to be trusted now.
    let trusted = chain::require_trusted(der, roots, key.product);
    transcript.check("snp.chain.root", trusted.map_err(Rejection::from), |()| format!("ARK-{}", key.product))?;
    let reported_tcb = transcript.check("snp.chain.endorses_report", chain::verify_endorses(&key, &report), |tcb| {
        format!("reported TCB {tcb}")
    })?;

    // 3. Revocation.
    match &items.revocation.crl {
        Rule::Check(rule) => {
            let fresh = require_not_revoked(der, roots, key.product, cache)
                .and_then(|window| window.require_fresh(now, rule.max_age_secs).map_err(Rejection::from));
            transcript.check("snp.chain.revocation", fresh, |()| "not revoked".to_owned())?;
        }
        Rule::Unchecked => {
            unchecked.push("snp.revocation.crl");
            transcript.skip("snp.chain.revocation", "the policy leaves it unchecked");
        }
    }

    // 4. Signature, over the bytes received.
    let signature = verify::verify_signature(&report, &key.point);
    transcript.check("snp.report.signature", signature, |()| "ECDSA P-384 verifies".to_owned())?;

    // 5. Policy.
    let genuine = GenuineReport::new(&key, reported_tcb, &report)?;
    hold_against(items, &report, &genuine, transcript, &mut unchecked)?;
    let GenuineReport { product, kind, csp_id, .. } = genuine;
    Ok(SnpClaims { report, product, signing_key: kind, csp_id, reported_tcb, unchecked })
}

fn require_not_revoked(
    der: ChainDer<'_>,
    roots: &TrustRoots,
    product: Product,
    cache: &SnpCache,
) -> Result<Arc<CrlDates>, Rejection> {
    cache.lists.get_or_verify(der.digest_with_crl(), || chain::verify_not_revoked(der, roots, product))
}

impl ChainDer<'_> {
    /// Names everything a verified chain follows from: the key certificate, the intermediate and the root.
    fn digest(&self) -> [u8; 32] {
        let chain = Lp::new("cloister/snp-chain/v1").bytes(self.vek).bytes(self.intermediate).bytes(self.root_hint);
        crypto::sha256(&chain.finish())
    }

    /// Names everything the absence of a revocation follows from.
    fn digest_with_crl(&self) -> [u8; 32] {
        let list = Lp::new("cloister/snp-crl/v1").bytes(self.intermediate).bytes(self.root_hint);
        crypto::sha256(&list.bytes(self.crl.unwrap_or_default()).finish())
    }
}
