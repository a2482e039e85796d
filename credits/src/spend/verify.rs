//! Verifying proofs, one by one or many at once.

use rand_core::CryptoRngCore;

use super::{SpendProof, SpendPublic, SpendRejection, VerifiedSpend};
use crate::params::{Claim, VerifyingParams};

/// Fewer than this many are verified one by one, which then costs less.
const BATCH_MIN: usize = 4;
/// A batch that does not hold is asked again in groups of this size, and one of those proof by proof: a single bad proof of 64
/// then costs no more than verifying each alone, and nothing but bad ones less than twice that (`make bench`).
const GROUP: usize = 8;

/// The outcome of a verification.
type Verdict = Result<VerifiedSpend, SpendRejection>;

impl VerifyingParams {
    /// Verifies a proof for these public values.
    pub fn verify(&self, public: &SpendPublic, proof: &SpendProof) -> Result<VerifiedSpend, SpendRejection> {
        self.verdict(public, &claim(public, proof)?)
    }

    /// Verifies many proofs, each with the same verdict as alone, in the order they came. Of many that are good each costs a
    /// good third of what it costs alone; a batch that does not hold is asked again in parts until what is bad is found.
    ///
    /// `rng` must be the operating system's: who could foresee it could pass bad proofs.
    pub fn verify_batch(
        &self,
        proofs: &[(SpendPublic, SpendProof)],
        rng: &mut dyn CryptoRngCore,
    ) -> Vec<Result<VerifiedSpend, SpendRejection>> {
        let claims: Vec<_> = proofs.iter().map(|(public, proof)| claim(public, proof)).collect();
        let decoded: Vec<_> = proofs
            .iter()
            .zip(&claims)
            .filter_map(|((public, _), claim)| Some((*public, claim.as_ref().copied().ok()?)))
            .collect();
        let mut verdicts = Vec::with_capacity(decoded.len());
        self.verdicts(&decoded, rng, &mut verdicts);
        let mut verdicts = verdicts.into_iter();
        let verdict =
            |claim: Result<Claim, _>| claim.and_then(|_| verdicts.next().unwrap_or(Err(SpendRejection::ProofInvalid)));
        claims.into_iter().map(verdict).collect()
    }

    fn verdict(&self, public: &SpendPublic, claim: &Claim) -> Verdict {
        if self.equation().holds(claim) { Ok(VerifiedSpend(*public)) } else { Err(SpendRejection::ProofInvalid) }
    }

    fn verdicts(&self, claims: &[(SpendPublic, Claim)], rng: &mut dyn CryptoRngCore, verdicts: &mut Vec<Verdict>) {
        if claims.len() < BATCH_MIN {
            return verdicts.extend(claims.iter().map(|(public, claim)| self.verdict(public, claim)));
        }
        let all: Vec<_> = claims.iter().map(|(_, claim)| *claim).collect();
        if self.equation().all_hold(&all, rng) {
            return verdicts.extend(claims.iter().map(|(public, _)| Ok(VerifiedSpend(*public))));
        }
        if claims.len() > GROUP {
            return claims.chunks(GROUP).for_each(|group| self.verdicts(group, rng, verdicts));
        }
        verdicts.extend(claims.iter().map(|(public, claim)| self.verdict(public, claim)));
    }
}

fn claim(public: &SpendPublic, proof: &SpendProof) -> Result<Claim, SpendRejection> {
    let (a, b, c) = proof.points().ok_or(SpendRejection::ProofMalformed)?;
    Ok(Claim { inputs: public.inputs(), a, b, c })
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
