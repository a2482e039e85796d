//! The key between contributions, as snarkjs 0.7.6 writes it.
//!
//! Sections: 1 the proof system; 2 the fields, the sizes and the points of the verifying key; 3 IC; 4 the coefficients of A and B;
//! 5 A, 6 B on G1, 7 B on G2, 8 L (snarkjs: C), 9 H; 10 the circuit's hash and the contributions.

use ark_bn254::{Bn254, Fq, Fr, G1Affine, G2Affine};
use ark_ec::short_weierstrass::{Affine, SWCurveConfig};
use ark_ff::{BigInteger, PrimeField};
use ark_groth16::{ProvingKey, VerifyingKey};

use crate::container::{Container, Reader, assemble, u32_of};
use crate::contribution::Contribution;
use crate::error::{CeremonyError, FileKind};
use crate::hash::Hash;
use crate::limits::{CIRCUIT_POWER_MAX, COEFFICIENTS_MAX, CONTRIBUTIONS_MAX, PUBLIC_MAX, VARIABLES_MAX};
use crate::points::{Coordinate, FIELD_LEN, write_point};

/// The longest file that can be a key within the limits.
pub const ZKEY_BYTES_MAX: u64 = 96 << 20;

const FILE: FileKind = FileKind::Zkey;
const PROTOCOL: u32 = 1;
const HEADER: u32 = 2;
pub(crate) const IC: u32 = 3;
pub(crate) const COEFFICIENTS: u32 = 4;
pub(crate) const A: u32 = 5;
pub(crate) const B_G1: u32 = 6;
pub(crate) const B_G2: u32 = 7;
pub(crate) const L: u32 = 8;
pub(crate) const H: u32 = 9;
pub(crate) const CONTRIBUTIONS: u32 = 10;
pub(crate) const VERIFYING_KEY: u32 = HEADER;

/// The number of this proof system in section 1.
const GROTH16: u32 = 1;
/// Bytes of a coefficient: matrix, row, variable, value.
const COEFFICIENT_LEN: usize = 3 * 4 + FIELD_LEN;

/// A key, with its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zkey {
    /// Rows of the domain.
    pub(crate) size: usize,
    pub(crate) alpha_g1: G1Affine,
    pub(crate) beta_g1: G1Affine,
    pub(crate) beta_g2: G2Affine,
    pub(crate) gamma_g2: G2Affine,
    pub(crate) delta_g1: G1Affine,
    pub(crate) delta_g2: G2Affine,
    pub(crate) ic: Vec<G1Affine>,
    /// Section 4 as it is: snarkjs's prover uses it, ours has the circuit.
    pub(crate) coefficients: Vec<u8>,
    pub(crate) a: Vec<G1Affine>,
    pub(crate) b_g1: Vec<G1Affine>,
    pub(crate) b_g2: Vec<G2Affine>,
    pub(crate) l: Vec<G1Affine>,
    pub(crate) h: Vec<G1Affine>,
    pub(crate) circuit_hash: Hash,
    pub(crate) contributions: Vec<Contribution>,
}

impl Zkey {
    /// Decodes a key. Every point is checked to be in its group; that they belong together is [`crate::verify()`]'s matter.
    ///
    /// # Errors
    ///
    /// `ceremony.magic`, `.truncated`, `.section`, `.header` or `.point`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CeremonyError> {
        let container = Container::parse(FILE, bytes)?;
        container.only(&[PROTOCOL, HEADER, IC, COEFFICIENTS, A, B_G1, B_G2, L, H, CONTRIBUTIONS])?;
        let mut protocol = container.section(PROTOCOL)?;
        if protocol.u32()? != GROTH16 {
            return Err(CeremonyError::Header { file: FILE });
        }
        protocol.end()?;

        let mut header = container.section(HEADER)?;
        expect_modulus::<Fq>(&mut header)?;
        expect_modulus::<Fr>(&mut header)?;
        let mut size = || header.u32().map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        let (variables, public, size) = (size()?, size()?, size()?);
        // Sizes are judged before anything is allocated by them.
        let bounded = variables <= VARIABLES_MAX && public <= PUBLIC_MAX && public < variables;
        if !bounded || !size.is_power_of_two() || size > 1 << CIRCUIT_POWER_MAX {
            return Err(CeremonyError::Header { file: FILE });
        }
        let (alpha_g1, beta_g1, beta_g2) = (header.point()?, header.point()?, header.point()?);
        let (gamma_g2, delta_g1, delta_g2) = (header.point()?, header.point()?, header.point()?);
        header.end()?;

        let inputs = public + 1;
        let mut history = container.section(CONTRIBUTIONS)?;
        let circuit_hash = history.array()?;
        let count = usize::try_from(history.u32()?).unwrap_or(usize::MAX);
        if count > CONTRIBUTIONS_MAX {
            return Err(CeremonyError::Section { file: FILE, section: CONTRIBUTIONS });
        }
        let contributions = (0..count).map(|_| Contribution::read(&mut history)).collect::<Result<_, _>>()?;
        history.end()?;
        Ok(Self {
            size,
            alpha_g1,
            beta_g1,
            beta_g2,
            gamma_g2,
            delta_g1,
            delta_g2,
            ic: container.points(IC, inputs)?,
            coefficients: coefficients(container.section(COEFFICIENTS)?)?,
            a: container.points(A, variables)?,
            b_g1: container.points(B_G1, variables)?,
            b_g2: container.points(B_G2, variables)?,
            l: container.points(L, variables - inputs)?,
            h: container.points(H, size)?,
            circuit_hash,
            contributions,
        })
    }

    /// The key's file, byte for byte as snarkjs writes one.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut header = Vec::new();
        put_modulus::<Fq>(&mut header);
        put_modulus::<Fr>(&mut header);
        for count in [self.a.len(), self.ic.len().saturating_sub(1), self.size] {
            header.extend(u32_of(count).to_le_bytes());
        }
        write_point(&self.alpha_g1, &mut header);
        write_point(&self.beta_g1, &mut header);
        write_point(&self.beta_g2, &mut header);
        write_point(&self.gamma_g2, &mut header);
        write_point(&self.delta_g1, &mut header);
        write_point(&self.delta_g2, &mut header);

        let mut sections = vec![
            (PROTOCOL, GROTH16.to_le_bytes().to_vec()),
            (HEADER, header),
            (IC, points(&self.ic)),
            (COEFFICIENTS, self.coefficients.clone()),
            (A, points(&self.a)),
            (B_G1, points(&self.b_g1)),
            (B_G2, points(&self.b_g2)),
            (L, points(&self.l)),
            (H, points(&self.h)),
            (CONTRIBUTIONS, self.history()),
        ];
        if self.contributions.is_empty() {
            // The order in which snarkjs writes the first key.
            let order = [PROTOCOL, HEADER, COEFFICIENTS, IC, H, L, A, B_G1, B_G2, CONTRIBUTIONS];
            sections.sort_by_key(|(number, _)| order.iter().position(|other| other == number));
        }
        assemble(b"zkey", &sections)
    }

    /// Section 10: the circuit's hash and every contribution. It determines the key, given the circuit and the powers of tau.
    pub(crate) fn history(&self) -> Vec<u8> {
        let mut bytes = self.circuit_hash.to_vec();
        bytes.extend(u32_of(self.contributions.len()).to_le_bytes());
        self.contributions.iter().for_each(|contribution| contribution.write(&mut bytes));
        bytes
    }

    /// The hash of the circuit and the powers of tau, by which contributors know what they contribute to.
    pub const fn circuit_hash(&self) -> Hash {
        self.circuit_hash
    }

    /// The contributions so far.
    pub fn contributions(&self) -> &[Contribution] {
        &self.contributions
    }

    /// The key as the library has it.
    pub(crate) fn proving_key(&self) -> ProvingKey<Bn254> {
        ProvingKey {
            vk: VerifyingKey {
                alpha_g1: self.alpha_g1,
                beta_g2: self.beta_g2,
                gamma_g2: self.gamma_g2,
                delta_g2: self.delta_g2,
                gamma_abc_g1: self.ic.clone(),
            },
            beta_g1: self.beta_g1,
            delta_g1: self.delta_g1,
            a_query: self.a.clone(),
            b_g1_query: self.b_g1.clone(),
            b_g2_query: self.b_g2.clone(),
            h_query: self.h.clone(),
            l_query: self.l.clone(),
        }
    }
}

/// A section of points.
pub(crate) fn points<C: SWCurveConfig<BaseField: Coordinate>>(points: &[Affine<C>]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(points.len().saturating_mul(2 * C::BaseField::LEN));
    points.iter().for_each(|point| write_point(point, &mut bytes));
    bytes
}

fn coefficients(mut section: Reader<'_>) -> Result<Vec<u8>, CeremonyError> {
    let whole = section.rest().to_vec();
    let wrong = CeremonyError::Section { file: FILE, section: COEFFICIENTS };
    let count = usize::try_from(section.u32()?).map_err(|_| wrong)?;
    if count > COEFFICIENTS_MAX || section.rest().len() != count * COEFFICIENT_LEN {
        return Err(wrong);
    }
    Ok(whole)
}

fn put_modulus<F: PrimeField>(bytes: &mut Vec<u8>) {
    bytes.extend(u32_of(FIELD_LEN).to_le_bytes());
    bytes.extend(F::MODULUS.to_bytes_le());
}

fn expect_modulus<F: PrimeField>(header: &mut Reader<'_>) -> Result<(), CeremonyError> {
    let length = header.u32()?;
    let fits = length == u32_of(FIELD_LEN) && header.take(FIELD_LEN)? == F::MODULUS.to_bytes_le();
    if fits { Ok(()) } else { Err(CeremonyError::Header { file: FILE }) }
}
