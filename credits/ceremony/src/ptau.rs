//! Phase 1: prepared powers of tau.
//!
//! A file for degree `2^p` has, after a header (1), the powers `τ⁰…` on G1 (2, `2^(p+1) − 1` of them), on G2 (3, `2^p`), those
//! times α (4) and β (5) on G1, and β on G2 (6); the contributions to phase 1 (7); and, prepared for phase 2, the Lagrange forms
//! of sections 2 to 5 for every degree from 2⁰ up (12 to 15; section 12 has degree `2^(p+1)` as well). snarkjs 0.7.6.
//!
//! What a circuit uses of a file is checked by pairings, the rest is not read. Phase 1's own contributions are not: they say who
//! took part, not whether the powers are powers. `snarkjs powersoftau verify` lists them.

use ark_bn254::{Fq, Fr, G1Affine, G1Projective, G2Affine, G2Projective};
use ark_ec::AffineRepr;
use ark_ec::short_weierstrass::{Affine, SWCurveConfig};
use ark_ff::{AdditiveGroup, BigInteger, Field, PrimeField};
use ark_poly::{EvaluationDomain, Radix2EvaluationDomain};
use credits::circuit::Relation;
use rand_core::CryptoRngCore;

use crate::combine::{random_powers, same_factor, sum};
use crate::container::{Container, Reader};
use crate::error::{CeremonyError, FileKind};
use crate::hash::{Hash, hash};
use crate::limits::CIRCUIT_POWER_MAX;
use crate::points::{Coordinate, FIELD_LEN};

/// The largest degree of a file, as a power of two; such a file has 290 MB.
const PTAU_POWER_MAX: u32 = 18;
/// The longest file that can be one.
pub const PTAU_BYTES_MAX: u64 = 320 << 20;

const FILE: FileKind = FileKind::Ptau;
const HEADER: u32 = 1;
const TAU_G1: u32 = 2;
const TAU_G2: u32 = 3;
const ALPHA_TAU_G1: u32 = 4;
const BETA_TAU_G1: u32 = 5;
const BETA_G2: u32 = 6;
const LAGRANGE_TAU_G1: u32 = 12;
const LAGRANGE_TAU_G2: u32 = 13;
const LAGRANGE_ALPHA_TAU_G1: u32 = 14;
const LAGRANGE_BETA_TAU_G1: u32 = 15;

/// What a circuit of `size` rows uses of phase 1, checked.
pub struct Ptau {
    /// Rows of the circuit's domain, `n`.
    pub(crate) size: usize,
    /// `2n` powers, or one less when the file ends there.
    pub(crate) tau_g1: Vec<G1Affine>,
    tau_g2: Vec<G2Affine>,
    alpha_tau_g1: Vec<G1Affine>,
    beta_tau_g1: Vec<G1Affine>,
    pub(crate) beta_g2: G2Affine,
    pub(crate) lagrange_tau_g1: Vec<G1Affine>,
    pub(crate) lagrange_tau_g2: Vec<G2Affine>,
    pub(crate) lagrange_alpha_tau_g1: Vec<G1Affine>,
    pub(crate) lagrange_beta_tau_g1: Vec<G1Affine>,
    /// Of the `2n`-th roots of unity.
    pub(crate) lagrange_double: Vec<G1Affine>,
    digest: Hash,
}

impl std::fmt::Debug for Ptau {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ptau({} rows)", self.size)
    }
}

/// The power of two that has a row for each constraint and each input.
pub(crate) fn circuit_power(circuit: &Relation) -> Result<u32, CeremonyError> {
    let rows = circuit.constraints().checked_add(circuit.inputs()).and_then(usize::checked_next_power_of_two);
    match rows.map(usize::trailing_zeros) {
        Some(power) if (1..=CIRCUIT_POWER_MAX).contains(&power) => Ok(power),
        _ => Err(CeremonyError::CircuitTooLarge),
    }
}

impl Ptau {
    /// Reads what `circuit` needs and checks it: every point, that the powers are powers, and that the Lagrange forms are theirs.
    ///
    /// # Errors
    ///
    /// `ceremony.magic`, `.truncated`, `.section`, `.header`, `.point` for a damaged or foreign file; `.ptau_power` for one that is
    /// too small; `.ptau_powers`, `.ptau_lagrange`, `.ptau_degenerate` for one that must not be used.
    pub fn read(bytes: &[u8], circuit: &Relation, rng: &mut dyn CryptoRngCore) -> Result<Self, CeremonyError> {
        let power = circuit_power(circuit)?;
        let container = Container::parse(FILE, bytes)?;
        let file_power = read_header(container.section(HEADER)?)?;
        if file_power < power {
            return Err(CeremonyError::PtauPower { needed: power, got: file_power });
        }
        let (size, file_size) = (1_usize << power, 1_usize << file_power);
        let beta_g2 = container.points(BETA_G2, 1)?.first().copied().unwrap_or_default();
        let powers = |section| powers(&container, section, file_size, size);
        let lagrange = |section| lagrange(&container, section, 2 * file_size - 1, size);
        let ptau = Self {
            size,
            tau_g1: self::powers(&container, TAU_G1, 2 * file_size - 1, 2 * size)?,
            tau_g2: self::powers(&container, TAU_G2, file_size, size)?,
            alpha_tau_g1: powers(ALPHA_TAU_G1)?,
            beta_tau_g1: powers(BETA_TAU_G1)?,
            beta_g2,
            lagrange_tau_g1: self::lagrange(&container, LAGRANGE_TAU_G1, 4 * file_size - 1, size)?,
            lagrange_tau_g2: self::lagrange(&container, LAGRANGE_TAU_G2, 2 * file_size - 1, size)?,
            lagrange_alpha_tau_g1: lagrange(LAGRANGE_ALPHA_TAU_G1)?,
            lagrange_beta_tau_g1: lagrange(LAGRANGE_BETA_TAU_G1)?,
            lagrange_double: self::lagrange(&container, LAGRANGE_TAU_G1, 4 * file_size - 1, 2 * size)?,
            digest: hash(bytes),
        };
        ptau.check_powers(rng)?;
        ptau.check_lagrange(rng)?;
        Ok(ptau)
    }

    /// BLAKE2b-512 of the file, by which published files are known.
    pub const fn digest(&self) -> Hash {
        self.digest
    }

    pub(crate) fn alpha_g1(&self) -> G1Affine {
        self.alpha_tau_g1.first().copied().unwrap_or_default()
    }

    pub(crate) fn beta_g1(&self) -> G1Affine {
        self.beta_tau_g1.first().copied().unwrap_or_default()
    }

    /// Sections 2 to 6: powers of one τ, of it times one α and one β, and none of them degenerate.
    fn check_powers(&self, rng: &mut dyn CryptoRngCore) -> Result<(), CeremonyError> {
        let (g1, g2) = (G1Affine::generator(), G2Affine::generator());
        let wrong = |section| Err(CeremonyError::PtauPowers { section });
        let ([first, tau, ..], [first_g2, tau_g2, ..]) = (self.tau_g1.as_slice(), self.tau_g2.as_slice()) else {
            return Err(CeremonyError::PtauDegenerate);
        };
        let random = random_powers(self.tau_g1.len(), rng)?;
        for (section, points) in
            [(TAU_G1, &self.tau_g1), (ALPHA_TAU_G1, &self.alpha_tau_g1), (BETA_TAU_G1, &self.beta_tau_g1)]
        {
            let shifted = points.get(1..).unwrap_or_default();
            let before = sum::<G1Projective>(points.get(..shifted.len()).unwrap_or_default(), &random);
            if !same_factor(before, sum::<G1Projective>(shifted, &random), g2, *tau_g2) {
                return wrong(section);
            }
        }
        let shifted = self.tau_g2.get(1..).unwrap_or_default();
        let before = sum::<G2Projective>(self.tau_g2.get(..shifted.len()).unwrap_or_default(), &random);
        if *first != g1 {
            return wrong(TAU_G1);
        }
        if *first_g2 != g2 || !same_factor(g1, *tau, before, sum::<G2Projective>(shifted, &random)) {
            return wrong(TAU_G2);
        }
        if !same_factor(g1, self.beta_g1(), g2, self.beta_g2) {
            return wrong(BETA_G2);
        }
        // A τ whose 2n-th power is one is a root of unity, where the Lagrange forms vanish.
        let half = self.tau_g1.get(self.size).copied().unwrap_or_default();
        let alone = |point: G1Affine| point.is_zero() || point == g1;
        if [*tau, self.alpha_g1(), self.beta_g1()].into_iter().any(alone) || half == g1 || half == -g1 {
            return Err(CeremonyError::PtauDegenerate);
        }
        Ok(())
    }

    /// Sections 12 to 15. For random ρ and the polynomial `R = Σ ρₖXᵏ`, `Σ ρₖτᵏ = Σ R(ωⁱ)·Lᵢ(τ)`.
    fn check_lagrange(&self, rng: &mut dyn CryptoRngCore) -> Result<(), CeremonyError> {
        let wrong = |section| Err(CeremonyError::PtauLagrange { section });
        let (random, values) = polynomial(self.size, rng)?;
        for (section, powers, lagrange) in [
            (LAGRANGE_TAU_G1, &self.tau_g1, &self.lagrange_tau_g1),
            (LAGRANGE_ALPHA_TAU_G1, &self.alpha_tau_g1, &self.lagrange_alpha_tau_g1),
            (LAGRANGE_BETA_TAU_G1, &self.beta_tau_g1, &self.lagrange_beta_tau_g1),
        ] {
            if sum::<G1Projective>(powers, &random) != sum::<G1Projective>(lagrange, &values) {
                return wrong(section);
            }
        }
        if sum::<G2Projective>(&self.tau_g2, &random) != sum::<G2Projective>(&self.lagrange_tau_g2, &values) {
            return wrong(LAGRANGE_TAU_G2);
        }

        let (mut random, mut values) = polynomial(2 * self.size, rng)?;
        let last_power = 2 * self.size - 1;
        if self.tau_g1.len() == last_power {
            // The file ends one power too early for its own last section. Its maker left the power out or, if the file was cut
            // from a longer one, had it. Nothing else may stand there: a multiple of that polynomial of anyone's choice would be
            // one more point of the key, of anyone's choice.
            let highest = coefficient(last_power, &self.lagrange_double);
            let (half, half_g2) = (self.tau_g1.get(self.size), self.tau_g2.last());
            let (Some(half), Some(half_g2)) = (half, half_g2) else { return wrong(LAGRANGE_TAU_G1) };
            let power = same_factor(*half, highest, G2Affine::generator(), *half_g2);
            if !highest.is_zero() && !power {
                return wrong(LAGRANGE_TAU_G1);
            }
            let highest_factor = random.pop().unwrap_or_default();
            subtract_term(&mut values, last_power, highest_factor);
        }
        if sum::<G1Projective>(&self.tau_g1, &random) != sum::<G1Projective>(&self.lagrange_double, &values) {
            return wrong(LAGRANGE_TAU_G1);
        }
        Ok(())
    }
}

/// A random polynomial: its coefficients, and its values at the roots of unity.
fn polynomial(size: usize, rng: &mut dyn CryptoRngCore) -> Result<(Vec<Fr>, Vec<Fr>), CeremonyError> {
    let coefficients = random_powers(size, rng)?;
    let values = domain(size).fft(&coefficients);
    Ok((coefficients, values))
}

pub(crate) fn domain(size: usize) -> Radix2EvaluationDomain<Fr> {
    Radix2EvaluationDomain::new(size).expect("invariant: circuits are limited to far fewer rows than there are roots")
}

/// What multiplies `Xᵏ` in the polynomials whose values at τ are these points: `Σ ωᵏⁱ·Lᵢ`.
fn coefficient(power: usize, lagrange: &[G1Affine]) -> G1Affine {
    let mut values = vec![Fr::ZERO; lagrange.len()];
    subtract_term(&mut values, power, -Fr::ONE);
    sum::<G1Projective>(lagrange, &values)
}

/// Takes `factor·Xᵏ` from a polynomial's values at the roots of unity.
fn subtract_term(values: &mut [Fr], power: usize, factor: Fr) {
    let root = domain(values.len()).element(power);
    let mut term = factor;
    for value in values {
        *value -= term;
        term *= root;
    }
}

fn read_header(mut header: Reader<'_>) -> Result<u32, CeremonyError> {
    let field = header.u32()?;
    let modulus = header.take(FIELD_LEN)?;
    // The second number is the power of the ceremony that the file was cut from.
    let (power, _) = (header.u32()?, header.u32()?);
    header.end()?;
    let ours = usize::try_from(field) == Ok(FIELD_LEN) && modulus == Fq::MODULUS.to_bytes_le();
    if ours && (1..=PTAU_POWER_MAX).contains(&power) { Ok(power) } else { Err(CeremonyError::Header { file: FILE }) }
}

/// The first `wanted` points of a section of `count`, or all if it has fewer.
fn powers<C: SWCurveConfig<BaseField: Coordinate>>(
    container: &Container<'_>,
    section: u32,
    count: usize,
    wanted: usize,
) -> Result<Vec<Affine<C>>, CeremonyError> {
    let mut reader = container.section(section)?;
    reader.expect_points::<C>(count)?;
    reader.points(count.min(wanted))
}

/// The points of degree `size` in a section that has those of all degrees, `count` in all.
fn lagrange<C: SWCurveConfig<BaseField: Coordinate>>(
    container: &Container<'_>,
    section: u32,
    count: usize,
    size: usize,
) -> Result<Vec<Affine<C>>, CeremonyError> {
    let mut reader = container.section(section)?;
    reader.expect_points::<C>(count)?;
    reader.skip_points::<C>(size - 1)?;
    reader.points(size)
}
