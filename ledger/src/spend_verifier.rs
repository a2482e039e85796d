//! Where the ledger has proofs verified.

use credits::params::VerifyingParams;
use credits::{LedgerError, SpendProof, SpendPublic};

/// Verifies spend proofs. The service uses [`VerifyingParams`]; tests of storage may put something cheaper in its place.
pub trait SpendVerifier: Send + Sync + 'static {
    /// Refuses a proof that does not prove the statement for these public values.
    fn verify_spend(&self, public: &SpendPublic, proof: &SpendProof) -> Result<(), LedgerError>;
}

impl SpendVerifier for VerifyingParams {
    fn verify_spend(&self, public: &SpendPublic, proof: &SpendProof) -> Result<(), LedgerError> {
        self.verify(public, proof).map(|_verified| ()).map_err(LedgerError::from)
    }
}
