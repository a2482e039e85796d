//! One contribution: a secret factor of delta, with the proof that its maker knew it.
//!
//! The proof is that of BGM17 (ePrint 2017/1050): for a random `s` on G1, the contributor publishes `x·s`, hashes everything before
//! together with both to a point `p` of G2, and publishes `x·p`. A hash chain over all contributions fixes their order. Layout
//! and hashes are snarkjs 0.7.6's.

use ark_bn254::{Fr, G1Affine, G1Projective, G2Affine};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{Field, PrimeField, Zero};
use blake2::{Blake2b512, Digest};
use credits::hash::sha256;
use rand_core::CryptoRngCore;
use zeroize::Zeroizing;

use crate::combine::same_factor;
use crate::container::{Reader, u32_of};
use crate::derive::Generator;
use crate::error::{CeremonyError, FileKind};
use crate::hash::Hash;
use crate::limits::{CONTRIBUTIONS_MAX, NAME_LEN_MAX};
use crate::points::{hashed_point, write_point};
use crate::zkey::{CONTRIBUTIONS, Zkey};

/// Kinds of contribution.
const BY_SOMEBODY: u32 = 0;
const BY_BEACON: u32 = 1;
/// Parameters of a contribution, in this order.
const NAME: u8 = 1;
const ITERATIONS: u8 = 2;
const BEACON: u8 = 3;

/// Logarithms of how often a beacon may be hashed.
const ITERATIONS_MIN: u8 = 10;
const ITERATIONS_MAX: u8 = 24;

/// Bytes from the operating system that go into a factor.
const FRESH_LEN: usize = 64;

/// A public value that nobody knew when the last contributor had finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beacon {
    /// The value, 1 to 255 bytes.
    pub value: Vec<u8>,
    /// The logarithm of how often it is hashed, 10 to 24.
    pub iterations: u8,
}

impl Beacon {
    fn generator(&self) -> Result<Generator, CeremonyError> {
        let bounded = (1..=255).contains(&self.value.len());
        if !bounded || !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&self.iterations) {
            return Err(CeremonyError::BeaconBounds);
        }
        let mut hash = sha256(&self.value);
        for _ in 1..1_u32 << self.iterations {
            hash = sha256(&hash.0);
        }
        Ok(Generator::new(&hash.0))
    }
}

/// A contribution as the key carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contribution {
    pub(crate) delta_after: G1Affine,
    pub(crate) s: G1Affine,
    pub(crate) sx: G1Affine,
    pub(crate) px: G2Affine,
    pub(crate) transcript: Hash,
    pub(crate) name: Option<Vec<u8>>,
    pub(crate) beacon: Option<Beacon>,
}

impl Contribution {
    /// The name that the contributor gave; what is not printable is written as escapes.
    pub fn name(&self) -> String {
        self.name.as_deref().unwrap_or_default().escape_ascii().to_string()
    }

    /// The beacon, if it is a beacon's contribution.
    pub const fn beacon(&self) -> Option<&Beacon> {
        self.beacon.as_ref()
    }

    /// The hash by which contributors recognise their contribution.
    pub fn hash(&self) -> Hash {
        let mut hasher = Blake2b512::new();
        self.absorb(&mut hasher);
        hasher.finalize().into()
    }

    /// Feeds the contribution to a hash.
    fn absorb(&self, hasher: &mut Blake2b512) {
        for point in [self.delta_after, self.s, self.sx] {
            hasher.update(hashed_point(&point));
        }
        hasher.update(hashed_point(&self.px));
        hasher.update(self.transcript);
    }

    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        for point in [self.delta_after, self.s, self.sx] {
            write_point(&point, bytes);
        }
        write_point(&self.px, bytes);
        bytes.extend(self.transcript);
        bytes.extend(if self.beacon.is_some() { BY_BEACON } else { BY_SOMEBODY }.to_le_bytes());
        let mut parameters = Vec::new();
        if let Some(name) = &self.name {
            parameters.extend([NAME, length_byte(name)]);
            parameters.extend(name);
        }
        if let Some(Beacon { value, iterations }) = &self.beacon {
            parameters.extend([ITERATIONS, *iterations, BEACON, length_byte(value)]);
            parameters.extend(value);
        }
        bytes.extend(u32_of(parameters.len()).to_le_bytes());
        bytes.extend(parameters);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, CeremonyError> {
        let wrong = CeremonyError::Section { file: FileKind::Zkey, section: CONTRIBUTIONS };
        let (delta_after, s, sx, px) = (reader.point()?, reader.point()?, reader.point()?, reader.point()?);
        let transcript = reader.array()?;
        let kind = reader.u32()?;
        let length = usize::try_from(reader.u32()?).map_err(|_| wrong)?;
        let mut parameters = reader.part(length)?;
        let (mut name, mut iterations, mut value) = (None, None, None);
        let mut last = 0;
        while !parameters.rest().is_empty() {
            let number = parameters.u8()?;
            // In order, so that there is one spelling.
            if number <= last {
                return Err(wrong);
            }
            last = number;
            match number {
                NAME => name = Some(short(&mut parameters)?),
                ITERATIONS => iterations = Some(parameters.u8()?),
                BEACON => value = Some(short(&mut parameters)?),
                _ => return Err(wrong),
            }
        }
        let beacon = match (kind, iterations, value) {
            (BY_SOMEBODY, None, None) => None,
            (BY_BEACON, Some(iterations), Some(value)) => Some(Beacon { value, iterations }),
            _ => return Err(wrong),
        };
        Ok(Self { delta_after, s, sx, px, transcript, name, beacon })
    }

    /// What the contributor's proof and the contribution's place say, given delta before it and the hash of what came before.
    pub(crate) fn check(&self, number: usize, before: G1Affine, chain: &Blake2b512) -> Result<(), CeremonyError> {
        let Self { delta_after, s, sx, px, .. } = *self;
        if transcript(chain, s, sx) != self.transcript {
            return Err(CeremonyError::Transcript { contribution: number });
        }
        let p = Generator::new(&self.transcript).point();
        let nothing = [s, sx, delta_after].iter().any(AffineRepr::is_zero) || px.is_zero();
        if nothing || !same_factor(s, sx, p, px) {
            return Err(CeremonyError::Knowledge { contribution: number });
        }
        if s == sx {
            return Err(CeremonyError::NoChange { contribution: number });
        }
        if !same_factor(before, delta_after, p, px) {
            return Err(CeremonyError::Delta { contribution: number });
        }
        if let Some(beacon) = &self.beacon {
            let mut generator = beacon.generator()?;
            let factor = generator.scalar();
            let expected: G1Affine = generator.point();
            if expected != s || (expected * factor).into_affine() != sx {
                return Err(CeremonyError::Beacon { contribution: number });
            }
        }
        Ok(())
    }
}

fn length_byte(bytes: &[u8]) -> u8 {
    u8::try_from(bytes.len()).expect("invariant: names and beacons are at most 255 bytes long")
}

/// Bytes with their length before them.
fn short(parameters: &mut Reader<'_>) -> Result<Vec<u8>, CeremonyError> {
    let length = usize::from(parameters.u8()?);
    parameters.take(length).map(<[u8]>::to_vec)
}

/// The hash of the circuit and of all contributions: what the next one continues.
pub(crate) fn chain<'a>(circuit_hash: &Hash, before: impl IntoIterator<Item = &'a Contribution>) -> Blake2b512 {
    let mut hasher = Blake2b512::new();
    hasher.update(circuit_hash);
    before.into_iter().for_each(|contribution| contribution.absorb(&mut hasher));
    hasher
}

/// Adds a contribution to what the next one continues.
pub(crate) fn extend(chain: &mut Blake2b512, contribution: &Contribution) {
    contribution.absorb(chain);
}

/// What a contribution's proof is for.
fn transcript(chain: &Blake2b512, s: G1Affine, sx: G1Affine) -> Hash {
    let mut hasher = chain.clone();
    hasher.update(hashed_point(&s));
    hasher.update(hashed_point(&sx));
    hasher.finalize().into()
}

/// Contributes a random factor. It is made of the operating system's randomness and of `entropy`, whatever that is: the factor is
/// unknown to others if one of the two is. It is wiped before this function returns, and so are the numbers it was made of.
///
/// # Errors
///
/// `ceremony.name` for a name that is not 1 to 64 printable ASCII characters, `.too_many_contributions`, `.random`.
pub fn contribute(
    zkey: &mut Zkey,
    name: &str,
    entropy: &[u8],
    rng: &mut dyn CryptoRngCore,
) -> Result<Hash, CeremonyError> {
    if !(1..=NAME_LEN_MAX).contains(&name.len()) || !name.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(CeremonyError::Name);
    }
    let mut fresh = Zeroizing::new([0; FRESH_LEN]);
    rng.try_fill_bytes(fresh.as_mut_slice()).map_err(|_| CeremonyError::Random)?;
    let factor = Zeroizing::new(mix(b"cloister/ceremony/factor", &fresh, entropy));
    // The base of the proof is public; that its logarithm was known for a moment does no harm.
    let base = mix(b"cloister/ceremony/base", &fresh, entropy);
    if factor.is_zero() || *factor == Fr::ONE || base.is_zero() {
        return Err(CeremonyError::Random);
    }
    let s = (G1Affine::generator() * base).into_affine();
    apply(zkey, &factor, s, Some(name.as_bytes().to_vec()), None)
}

/// Contributes what follows from a public value that nobody could foresee; everybody can repeat it.
///
/// # Errors
///
/// `ceremony.beacon_bounds`, `.too_many_contributions`.
pub fn contribute_beacon(zkey: &mut Zkey, beacon: Beacon) -> Result<Hash, CeremonyError> {
    let mut generator = beacon.generator()?;
    let factor = Zeroizing::new(generator.scalar());
    let s = generator.point();
    apply(zkey, &factor, s, None, Some(beacon))
}

/// A scalar from 512 bits, so that it is as good as uniform.
fn mix(domain: &[u8], fresh: &[u8; FRESH_LEN], entropy: &[u8]) -> Fr {
    let mut hasher = Blake2b512::new();
    hasher.update(domain);
    hasher.update(fresh);
    hasher.update(entropy);
    let wide: Zeroizing<[u8; 64]> = Zeroizing::new(hasher.finalize().into());
    Fr::from_le_bytes_mod_order(wide.as_slice())
}

fn apply(
    zkey: &mut Zkey,
    factor: &Zeroizing<Fr>,
    s: G1Affine,
    name: Option<Vec<u8>>,
    beacon: Option<Beacon>,
) -> Result<Hash, CeremonyError> {
    if zkey.contributions.len() >= CONTRIBUTIONS_MAX {
        return Err(CeremonyError::TooManyContributions);
    }
    let inverse = Zeroizing::new(factor.inverse().ok_or(CeremonyError::Random)?);
    let sx = (s * **factor).into_affine();
    let transcript = transcript(&chain(&zkey.circuit_hash, &zkey.contributions), s, sx);
    let p: G2Affine = Generator::new(&transcript).point();
    let px = (p * **factor).into_affine();
    zkey.delta_g1 = (zkey.delta_g1 * **factor).into_affine();
    zkey.delta_g2 = (zkey.delta_g2 * **factor).into_affine();
    for query in [&mut zkey.l, &mut zkey.h] {
        let scaled: Vec<G1Projective> = query.iter().map(|point| *point * *inverse).collect();
        *query = G1Projective::normalize_batch(&scaled);
    }
    let contribution = Contribution { delta_after: zkey.delta_g1, s, sx, px, transcript, name, beacon };
    let hash = contribution.hash();
    zkey.contributions.push(contribution);
    Ok(hash)
}

#[cfg(test)]
mod tests;
