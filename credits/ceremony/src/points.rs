//! Field elements and points as snarkjs writes them.
//!
//! In files a coordinate is its Montgomery form (R = 2^256), little-endian; the identity is all zeros, which is no point of
//! either curve. Under hashes a coordinate is the number itself, big-endian, and the second part of an element of Fq2 comes
//! first. Both are facts of ffjavascript 0.3.1 (`LEM` and `U`).

use ark_bn254::{Fq, Fq2, Fr};
use ark_ec::AffineRepr;
use ark_ec::short_weierstrass::{Affine, SWCurveConfig};
use ark_ff::{AdditiveGroup, BigInt, BigInteger, Field, PrimeField};

/// Bytes of a field element.
pub(crate) const FIELD_LEN: usize = 32;

/// A coordinate of a point.
pub(crate) trait Coordinate: Field {
    /// Bytes of it.
    const LEN: usize;

    /// Reads the form of files; nothing if it is not canonical.
    fn read(bytes: &[u8]) -> Option<Self>;

    /// Writes the form of files.
    fn write(&self, bytes: &mut Vec<u8>);

    /// Writes the form of hashes.
    fn write_hashed(&self, bytes: &mut Vec<u8>);

    /// Whether it is the greater of itself and its negative, as snarkjs compares them.
    fn is_negative(&self) -> bool;
}

/// Four little-endian words.
fn words(bytes: &[u8]) -> Option<BigInt<4>> {
    let bytes: &[u8; FIELD_LEN] = bytes.try_into().ok()?;
    let mut words = [0; 4];
    let (chunks, _) = bytes.as_chunks::<8>();
    words.iter_mut().zip(chunks).for_each(|(word, chunk)| *word = u64::from_le_bytes(*chunk));
    Some(BigInt::new(words))
}

impl Coordinate for Fq {
    const LEN: usize = FIELD_LEN;

    fn read(bytes: &[u8]) -> Option<Self> {
        let words = words(bytes)?;
        (words < Self::MODULUS).then(|| Self::new_unchecked(words))
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.0.to_bytes_le());
    }

    fn write_hashed(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.into_bigint().to_bytes_be());
    }

    fn is_negative(&self) -> bool {
        self.into_bigint() > Self::MODULUS_MINUS_ONE_DIV_TWO
    }
}

impl Coordinate for Fq2 {
    const LEN: usize = 2 * FIELD_LEN;

    fn read(bytes: &[u8]) -> Option<Self> {
        let (c0, c1) = bytes.split_at_checked(FIELD_LEN)?;
        Some(Self::new(Fq::read(c0)?, Fq::read(c1)?))
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        self.c0.write(bytes);
        self.c1.write(bytes);
    }

    fn write_hashed(&self, bytes: &mut Vec<u8>) {
        self.c1.write_hashed(bytes);
        self.c0.write_hashed(bytes);
    }

    fn is_negative(&self) -> bool {
        if self.c1 == Fq::ZERO { self.c0.is_negative() } else { self.c1.is_negative() }
    }
}

/// Reads a point: canonical, on the curve and in the subgroup of prime order.
///
/// The subgroup matters before anything secret is multiplied with the point: outside it the product tells something of the
/// secret.
pub(crate) fn read_point<C: SWCurveConfig<BaseField: Coordinate>>(bytes: &[u8]) -> Option<Affine<C>> {
    if bytes.len() == 2 * C::BaseField::LEN && bytes.iter().all(|byte| *byte == 0) {
        return Some(Affine::identity());
    }
    let (x, y) = bytes.split_at_checked(C::BaseField::LEN)?;
    let point = Affine::<C>::new_unchecked(C::BaseField::read(x)?, C::BaseField::read(y)?);
    (point.is_on_curve() && point.is_in_correct_subgroup_assuming_on_curve()).then_some(point)
}

/// Writes a point as files have it.
pub(crate) fn write_point<C: SWCurveConfig<BaseField: Coordinate>>(point: &Affine<C>, bytes: &mut Vec<u8>) {
    match point.xy() {
        Some((x, y)) => {
            x.write(bytes);
            y.write(bytes);
        }
        None => bytes.resize(bytes.len().saturating_add(2 * C::BaseField::LEN), 0),
    }
}

/// A point as hashes take it.
pub(crate) fn hashed_point<C: SWCurveConfig<BaseField: Coordinate>>(point: &Affine<C>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 * C::BaseField::LEN);
    match point.xy() {
        Some((x, y)) => {
            x.write_hashed(&mut bytes);
            y.write_hashed(&mut bytes);
        }
        None => bytes.resize(2 * C::BaseField::LEN, 0),
    }
    bytes
}

/// A coefficient as zkeys have it: multiplied with R twice, because snarkjs's prover multiplies it with a plain number by one
/// Montgomery multiplication and wants the Montgomery form of the product.
pub(crate) fn write_coefficient(value: Fr, bytes: &mut Vec<u8>) {
    let radix = Fr::from(2_u64).pow([256]);
    bytes.extend((value * radix).0.to_bytes_le());
}

/// A number as r1cs files have it: plain, little-endian.
pub(crate) fn write_plain(value: Fr, bytes: &mut Vec<u8>) {
    bytes.extend(value.into_bigint().to_bytes_le());
}

#[cfg(test)]
mod tests {
    use ark_bn254::{G1Affine, G2Affine};

    use super::*;

    fn written<C: SWCurveConfig<BaseField: Coordinate>>(point: &Affine<C>) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_point(point, &mut bytes);
        bytes
    }

    #[test]
    fn points_survive_writing() {
        let g1 = [G1Affine::generator(), -G1Affine::generator(), G1Affine::identity()];
        for point in g1 {
            assert_eq!(written(&point).len(), 64);
            assert_eq!(read_point(&written(&point)), Some(point));
        }
        for point in [G2Affine::generator(), -G2Affine::generator(), G2Affine::identity()] {
            assert_eq!(written(&point).len(), 128);
            assert_eq!(read_point(&written(&point)), Some(point));
        }
    }

    #[test]
    fn what_is_no_point_is_refused() {
        let good = written(&G1Affine::generator());
        assert_eq!(read_point::<ark_bn254::g1::Config>(&good[..63]), None);
        let mut off_the_curve = good.clone();
        off_the_curve[0] ^= 1;
        assert_eq!(read_point::<ark_bn254::g1::Config>(&off_the_curve), None);
        // The same number with the modulus added.
        let mut spelled_otherwise = Vec::new();
        let mut x = G1Affine::generator().x.0;
        assert!(!x.add_with_carry(&Fq::MODULUS));
        spelled_otherwise.extend(x.to_bytes_le());
        spelled_otherwise.extend(&good[32..]);
        assert_eq!(read_point::<ark_bn254::g1::Config>(&spelled_otherwise), None);
        let outside = (1u64..)
            .filter_map(|x| G2Affine::get_point_from_x_unchecked(Fq2::new(Fq::from(x), Fq::ZERO), false))
            .find(|point| !point.is_in_correct_subgroup_assuming_on_curve())
            .unwrap();
        assert_eq!(read_point::<ark_bn254::g2::Config>(&written(&outside)), None);
    }
}
