//! Where the ledger has proofs verified.

use credits::params::VerifyingParams;
use credits::{LedgerError, SpendProof, SpendPublic};
use rand_core::OsRng;

/// Verifies spend proofs. The service uses [`VerifyingParams`]; tests of storage may put something cheaper in its place.
pub trait SpendVerifier: Send + Sync + 'static {
    /// Says of each proof whether it proves the statement for its public values.
    fn verify_spends(&self, spends: &[(SpendPublic, SpendProof)]) -> Vec<Result<(), LedgerError>>;
}

impl SpendVerifier for VerifyingParams {
    fn verify_spends(&self, spends: &[(SpendPublic, SpendProof)]) -> Vec<Result<(), LedgerError>> {
        let verdicts = self.verify_batch(spends, &mut OsRng).into_iter();
        verdicts.map(|verdict| verdict.map(|_verified| ()).map_err(LedgerError::from)).collect()
    }
}
