//! Verifying proofs, one by one or many at once.

use ark_bn254::{G1Affine, G2Affine};
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
        let mut verdicts: Vec<Verdict> = proofs.iter().map(|_| Err(SpendRejection::ProofMalformed)).collect();
        let decoded: Vec<_> = proofs
            .iter()
            .zip(&mut verdicts)
            .filter_map(|(asked, verdict)| Some((asked, asked.1.points_on_curve()?, verdict)))
            .collect();
        if decoded.len() < BATCH_MIN {
            for ((public, proof), _, verdict) in decoded {
                *verdict = self.verify(public, proof);
            }
        } else {
            self.verdicts(&mut with_lines(decoded), rng);
        }
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

/// A proof that was decoded, with the place for its verdict.
type Decoded<'a> = (&'a (SpendPublic, SpendProof), (G1Affine, G2Affine, G1Affine), &'a mut Verdict);

/// Those that are well-formed, which shows by the lines of B.
fn with_lines(decoded: Vec<Decoded<'_>>) -> Vec<Asked<'_>> {
    let second: Vec<_> = decoded.iter().map(|(_, (_, b, _), _)| *b).collect();
    let with_lines = decoded.into_iter().zip(Lines::of_many(&second));
    with_lines
        .filter_map(|(((public, _), (a, b, c), verdict), lines)| {
            let claim = Claim { inputs: public.inputs(), a, b, c };
            Some(Asked { public, claim, lines: lines?, verdict })
        })
        .collect()
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
