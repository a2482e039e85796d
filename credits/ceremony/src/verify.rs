//! A whole transcript, from the circuit and the powers of tau to the last contribution.

use ark_bn254::{Bn254, G1Affine, G1Projective, G2Affine};
use ark_ec::AffineRepr;
use ark_groth16::ProvingKey;
use credits::Bytes32;
use credits::hash::sha256;
use credits::params::{MergeProvingParams, ProvingParams};
use rand_core::CryptoRngCore;

use crate::combine::{random_powers, same_factor, sum};
use crate::contribution::{Contribution, chain, extend};
use crate::error::CeremonyError;
use crate::hash::Hash;
use crate::limits::BEACONS_MAX;
use crate::zkey::{A, B_G1, B_G2, COEFFICIENTS, CONTRIBUTIONS, H, IC, L, VERIFYING_KEY, Zkey};

/// A key whose every contribution was verified. Only [`verify`] makes one.
#[derive(Debug)]
pub struct Verified(Zkey);

/// Verifies that `zkey` follows from `first`, which [`crate::start()`] computed from the circuit and the powers of tau, by its
/// contributions and nothing else.
///
/// What is verified: that the circuit's hash, the points of α, β and γ, IC, the coefficients, A and B are those of the first key;
/// that each contributor proved to know a factor other than one, over a hash of everything before; that delta is the product of
/// the factors; and that L and H are those of the first key divided by delta. If one contributor forgot the factor, nobody knows
/// delta.
///
/// # Errors
///
/// `ceremony.circuit`, `.transcript`, `.knowledge`, `.no_change`, `.delta`, `.beacon`, `.beacon_bounds`, `.query`.
pub fn verify(first: &Zkey, zkey: Zkey, rng: &mut dyn CryptoRngCore) -> Result<Verified, CeremonyError> {
    let unchanged = [
        (VERIFYING_KEY, zkey.size == first.size),
        (VERIFYING_KEY, zkey.alpha_g1 == first.alpha_g1 && zkey.beta_g1 == first.beta_g1),
        (VERIFYING_KEY, zkey.beta_g2 == first.beta_g2 && zkey.gamma_g2 == first.gamma_g2),
        (IC, zkey.ic == first.ic),
        (COEFFICIENTS, zkey.coefficients == first.coefficients),
        (A, zkey.a == first.a),
        (B_G1, zkey.b_g1 == first.b_g1),
        (B_G2, zkey.b_g2 == first.b_g2),
        (L, zkey.l.len() == first.l.len()),
        (H, zkey.h.len() == first.h.len()),
        (CONTRIBUTIONS, zkey.circuit_hash == first.circuit_hash),
    ];
    if let Some((section, _)) = unchanged.into_iter().find(|(_, same)| !same) {
        return Err(CeremonyError::Circuit { section });
    }

    let beacons = zkey.contributions.iter().filter(|contribution| contribution.beacon.is_some());
    if beacons.count() > BEACONS_MAX {
        return Err(CeremonyError::BeaconBounds);
    }
    let mut hashed = chain(&first.circuit_hash, []);
    let mut delta = G1Affine::generator();
    for (contribution, number) in zkey.contributions.iter().zip(1..) {
        contribution.check(number, delta, &hashed)?;
        delta = contribution.delta_after;
        extend(&mut hashed, contribution);
    }
    let (g1, g2) = (G1Affine::generator(), G2Affine::generator());
    if zkey.delta_g1 != delta || !same_factor(g1, delta, g2, zkey.delta_g2) {
        return Err(CeremonyError::Delta { contribution: zkey.contributions.len() });
    }
    for (section, query, before) in [(L, &zkey.l, &first.l), (H, &zkey.h, &first.h)] {
        let random = random_powers(query.len(), rng)?;
        let (now, before) = (sum::<G1Projective>(query, &random), sum::<G1Projective>(before, &random));
        if !same_factor(now, before, g2, zkey.delta_g2) {
            return Err(CeremonyError::Query { section });
        }
    }
    Ok(Verified(zkey))
}

impl Verified {
    /// The contributions, in order.
    pub fn contributions(&self) -> &[Contribution] {
        self.0.contributions()
    }

    /// The circuit's hash.
    pub const fn circuit_hash(&self) -> Hash {
        self.0.circuit_hash()
    }

    /// The verified key.
    pub const fn zkey(&self) -> &Zkey {
        &self.0
    }

    /// SHA-256 of the circuit's hash and all contributions (section 10 as it is in the file): what ledgers name.
    pub fn transcript_digest(&self) -> Bytes32 {
        sha256(&self.0.history())
    }

    /// The key as the library's prover takes it, whatever circuit it is for.
    pub fn library_key(&self) -> ProvingKey<Bn254> {
        self.0.proving_key()
    }

    /// Whether anybody contributed what others do not know: everybody knows the factor of a beacon.
    pub fn has_a_secret(&self) -> bool {
        self.0.contributions.iter().any(|contribution| contribution.beacon.is_none())
    }

    /// The parameters of the spend circuit that the ceremony made.
    ///
    /// # Errors
    ///
    /// `ceremony.no_contribution` when there is none but of beacons, and the codes of [`credits::params::ParamsError`].
    pub fn proving_params(&self) -> Result<ProvingParams, CeremonyError> {
        if !self.has_a_secret() {
            return Err(CeremonyError::NoContribution);
        }
        ProvingParams::from_key(self.0.proving_key()).map_err(CeremonyError::Params)
    }

    /// The parameters of the merge circuit that the ceremony made.
    ///
    /// # Errors
    ///
    /// As for [`Verified::proving_params`].
    pub fn merge_params(&self) -> Result<MergeProvingParams, CeremonyError> {
        if !self.has_a_secret() {
            return Err(CeremonyError::NoContribution);
        }
        MergeProvingParams::from_key(self.0.proving_key()).map_err(CeremonyError::Params)
    }
}
