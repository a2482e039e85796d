//! Where the ledger has proofs verified.

use credits::params::{MergeVerifyingParams, VerifyingParams};
use credits::{LedgerError, MergePublic, SpendProof, SpendPublic};
use rand_core::OsRng;

/// Verifies proofs. The service uses [`Verifiers`]; tests of storage may put something cheaper in its place.
pub trait SpendVerifier: Send + Sync + 'static {
    /// Says of each proof whether it proves the statement for its public values.
    fn verify_spends(&self, spends: &[(SpendPublic, SpendProof)]) -> Vec<Result<(), LedgerError>>;

    /// Says whether a proof proves a merge for its public values; without parameters for it, none does.
    fn verify_merge(&self, _merge: &MergePublic, _proof: &SpendProof) -> Result<(), LedgerError> {
        Err(LedgerError::MergeNotOffered)
    }
}

/// The verifying keys of a ledger.
#[derive(Clone, Debug)]
pub struct Verifiers {
    /// Of spends.
    pub spends: VerifyingParams,
    /// Of merges, where there are any.
    pub merges: Option<MergeVerifyingParams>,
}

impl SpendVerifier for Verifiers {
    fn verify_spends(&self, spends: &[(SpendPublic, SpendProof)]) -> Vec<Result<(), LedgerError>> {
        self.spends.verify_spends(spends)
    }

    fn verify_merge(&self, merge: &MergePublic, proof: &SpendProof) -> Result<(), LedgerError> {
        let merges = self.merges.as_ref().ok_or(LedgerError::MergeNotOffered)?;
        Ok(merges.verify(merge, proof)?)
    }
}

impl SpendVerifier for VerifyingParams {
    fn verify_spends(&self, spends: &[(SpendPublic, SpendProof)]) -> Vec<Result<(), LedgerError>> {
        let verdicts = self.verify_batch(spends, &mut OsRng).into_iter();
        verdicts.map(|verdict| verdict.map(|_verified| ()).map_err(LedgerError::from)).collect()
    }
}
