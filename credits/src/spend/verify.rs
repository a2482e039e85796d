//! Verifying proofs, one by one or many at once.

use ark_bn254::G2Affine;
use rand_core::CryptoRngCore;

use super::{SpendProof, SpendPublic, SpendRejection, VerifiedSpend};
use crate::params::{Claim, Lines, VerifyingParams};

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
        let (a, b, c) = proof.points().ok_or(SpendRejection::ProofMalformed)?;
        self.verdict(public, &Claim { inputs: public.inputs(), a, b, c })
    }

    /// Verifies many proofs, each with the same verdict as alone, in the order they came. Of many that are good each costs a
    /// quarter of what it costs alone; a batch that does not hold is asked again in parts until what is bad is found.
    ///
    /// `rng` must be the operating system's: who could foresee it could pass bad proofs.
    pub fn verify_batch(
        &self,
        proofs: &[(SpendPublic, SpendProof)],
        rng: &mut dyn CryptoRngCore,
    ) -> Vec<Result<VerifiedSpend, SpendRejection>> {
        if proofs.len() < BATCH_MIN {
            return proofs.iter().map(|(public, proof)| self.verify(public, proof)).collect();
        }
        let mut verdicts: Vec<Verdict> = proofs.iter().map(|_| Err(SpendRejection::ProofMalformed)).collect();
        self.verdicts(&mut well_formed(proofs, &mut verdicts), rng);
        verdicts
    }

    fn verdict(&self, public: &SpendPublic, claim: &Claim) -> Verdict {
        if self.equation().holds(claim) { Ok(VerifiedSpend(*public)) } else { Err(SpendRejection::ProofInvalid) }
    }

    fn verdicts(&self, asked: &mut [Asked<'_>], rng: &mut dyn CryptoRngCore) {
        if asked.len() >= BATCH_MIN {
            let all: Vec<_> = asked.iter().map(|asked| (&asked.claim, &asked.lines)).collect();
            if self.equation().all_hold(&all, rng) {
                return asked.iter_mut().for_each(|asked| *asked.verdict = Ok(VerifiedSpend(*asked.public)));
            }
            if asked.len() > GROUP {
                return asked.chunks_mut(GROUP).for_each(|group| self.verdicts(group, rng));
            }
        }
        asked.iter_mut().for_each(|asked| *asked.verdict = self.verdict(asked.public, &asked.claim));
    }
}

/// A proof of a batch whose points are what they should be.
struct Asked<'a> {
    public: &'a SpendPublic,
    claim: Claim,
    lines: Lines,
    verdict: &'a mut Verdict,
}

/// Those of a batch that are well-formed, each with the place for its verdict.
fn well_formed<'a>(proofs: &'a [(SpendPublic, SpendProof)], verdicts: &'a mut [Verdict]) -> Vec<Asked<'a>> {
    let decoded: Vec<_> = proofs.iter().map(|(_, proof)| proof.points_on_curve()).collect();
    // Which B are in the subgroup shows by their lines; a place without points has the identity, which has none.
    let second: Vec<_> = decoded.iter().map(|points| points.map_or_else(G2Affine::identity, |(_, b, _)| b)).collect();
    let each = proofs.iter().zip(decoded).zip(Lines::of_many(&second)).zip(verdicts);
    each.filter_map(|((((public, _), points), lines), verdict)| {
        let ((a, b, c), lines) = (points?, lines?);
        Some(Asked { public, claim: Claim { inputs: public.inputs(), a, b, c }, lines, verdict })
    })
    .collect()
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
