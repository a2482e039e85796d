//! The keys of the merge statement: those of spends under other names, so that neither is taken for the other.

use std::fmt;

use ark_bn254::Bn254;
use ark_groth16::ProvingKey;
use rand_core::CryptoRngCore;

use super::{Equation, ParamsError, ProvingParams, VERIFYING_PARAMS_LEN, VerifyingParams};
use crate::bytes::Bytes32;
use crate::circuit::Statement;

/// A verifying key of the merge statement, judged like that of spends.
#[derive(Clone)]
pub struct MergeVerifyingParams(VerifyingParams);

impl MergeVerifyingParams {
    /// Decodes and judges a verifying key.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ParamsError> {
        VerifyingParams::of_statement(Statement::Merge, bytes).map(Self)
    }

    /// The encoded key.
    pub const fn to_bytes(&self) -> [u8; VERIFYING_PARAMS_LEN] {
        self.0.to_bytes()
    }

    /// SHA-256 of the encoded key: what a ledger's id names.
    pub const fn digest(&self) -> Bytes32 {
        self.0.digest()
    }

    pub(crate) fn equation(&self) -> &Equation {
        self.0.equation()
    }
}

impl fmt::Debug for MergeVerifyingParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MergeVerifyingParams({})", self.digest())
    }
}

/// A proving key of the merge statement with its verifying key.
#[derive(Debug)]
pub struct MergeProvingParams {
    params: ProvingParams,
    verifying: MergeVerifyingParams,
}

/// Runs a single-party setup: whoever knows `rng`'s output can forge proofs. See [`super::setup`].
pub fn setup_merge(rng: &mut dyn CryptoRngCore) -> Result<MergeProvingParams, ParamsError> {
    ProvingParams::made_alone(Statement::Merge, rng).map(MergeProvingParams::of)
}

impl MergeProvingParams {
    fn of(params: ProvingParams) -> Self {
        let verifying = MergeVerifyingParams(params.verifying().clone());
        Self { params, verifying }
    }

    /// A key that a ceremony made: see [`ProvingParams::from_key`].
    pub fn from_key(key: ProvingKey<Bn254>) -> Result<Self, ParamsError> {
        ProvingParams::key_of_statement(Statement::Merge, key).map(Self::of)
    }

    /// Decodes a proving key and checks that it belongs to the verifying key with this digest.
    pub fn from_bytes(bytes: &[u8], expected_vk_digest: Bytes32) -> Result<Self, ParamsError> {
        ProvingParams::of_statement(Statement::Merge, bytes, expected_vk_digest).map(Self::of)
    }

    /// The encoded key.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.params.to_bytes()
    }

    /// The verifying key.
    pub const fn verifying(&self) -> &MergeVerifyingParams {
        &self.verifying
    }

    pub(crate) const fn params(&self) -> &ProvingParams {
        &self.params
    }
}
