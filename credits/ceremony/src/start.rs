//! The first key: what the circuit and the powers of tau give, with delta one.
//!
//! A variable's point of A is `Σ aᵢ·Lᵢ(τ)` over the rows `i` it is in, and so on. Rows of several matrices often are the same
//! linear combination (a wire that is squared is in A and in B), so the points of equal rows are added first and multiplied once.

use std::collections::HashMap;

use ark_bn254::{Fr, G1Affine, G1Projective, G2Affine, G2Projective};
use ark_ec::{AffineRepr, CurveGroup, VariableBaseMSM};
use ark_ff::{BigInteger, Field, PrimeField, Zero};
use blake2::{Blake2b512, Digest};
use credits::circuit::Relation;

use crate::combine::sum;
use crate::container::{assemble, u32_of};
use crate::error::CeremonyError;
use crate::hash::Hash;
use crate::limits::{COEFFICIENTS_MAX, PUBLIC_MAX, VARIABLES_MAX};
use crate::points::{hashed_point, write_coefficient, write_plain};
use crate::ptau::Ptau;
use crate::zkey::Zkey;

/// The terms of a row: factor and variable.
type Row = Vec<(Fr, usize)>;

/// The circuit's rows, within the limits.
struct Rows<'a> {
    a: &'a [Row],
    b: &'a [Row],
    c: &'a [Row],
    inputs: usize,
    variables: usize,
}

impl<'a> Rows<'a> {
    fn of(circuit: &'a Relation) -> Result<Self, CeremonyError> {
        let [a, b, c] = circuit.matrices() else { return Err(CeremonyError::CircuitTooLarge) };
        let (inputs, variables) = (circuit.inputs(), circuit.variables());
        let terms: usize = a.iter().chain(b).map(Vec::len).sum();
        let bounded = (1..=PUBLIC_MAX + 1).contains(&inputs)
            && variables <= VARIABLES_MAX
            && variables > inputs
            && terms.saturating_add(inputs) <= COEFFICIENTS_MAX;
        if bounded { Ok(Self { a, b, c, inputs, variables }) } else { Err(CeremonyError::CircuitTooLarge) }
    }
}

/// Makes the key that phase 2 starts with. snarkjs's `groth16 setup` makes the same bytes of the same circuit and file.
///
/// # Errors
///
/// `ceremony.circuit_too_large`.
pub fn start(circuit: &Relation, ptau: &Ptau) -> Result<Zkey, CeremonyError> {
    let rows = Rows::of(circuit)?;
    let queries = Queries::of(&rows, ptau);
    // The odd points of the 2n-th roots of unity: see `credits::params::CircomQap`.
    let h = ptau.lagrange_double.iter().copied().skip(1).step_by(2).collect();
    let mut zkey = Zkey {
        size: ptau.size,
        alpha_g1: ptau.alpha_g1(),
        beta_g1: ptau.beta_g1(),
        beta_g2: ptau.beta_g2,
        gamma_g2: G2Affine::generator(),
        delta_g1: G1Affine::generator(),
        delta_g2: G2Affine::generator(),
        ic: queries.rest.get(..rows.inputs).unwrap_or_default().to_vec(),
        coefficients: coefficients(&rows),
        a: queries.a,
        b_g1: queries.b_g1,
        b_g2: queries.b_g2,
        l: queries.rest.get(rows.inputs..).unwrap_or_default().to_vec(),
        h,
        circuit_hash: [0; 64],
        contributions: Vec::new(),
    };
    zkey.circuit_hash = circuit_hash(&zkey, ptau);
    Ok(zkey)
}

/// The circuit as an `.r1cs` file, for snarkjs. Inputs are public, and there are no names.
///
/// # Errors
///
/// `ceremony.circuit_too_large`.
pub fn r1cs(circuit: &Relation) -> Result<Vec<u8>, CeremonyError> {
    let rows = Rows::of(circuit)?;
    let mut header = u32_of(32).to_le_bytes().to_vec();
    header.extend(Fr::MODULUS.to_bytes_le());
    let public = rows.inputs - 1;
    // Variables, public outputs, public inputs, private inputs.
    for count in [rows.variables, 0, public, rows.variables - rows.inputs] {
        header.extend(u32_of(count).to_le_bytes());
    }
    header.extend(u64::from(u32_of(rows.variables)).to_le_bytes());
    header.extend(u32_of(rows.a.len()).to_le_bytes());

    let mut constraints = Vec::new();
    for ((a, b), c) in rows.a.iter().zip(rows.b).zip(rows.c) {
        for row in [a, b, c] {
            constraints.extend(u32_of(row.len()).to_le_bytes());
            for (factor, variable) in row {
                constraints.extend(u32_of(*variable).to_le_bytes());
                write_plain(*factor, &mut constraints);
            }
        }
    }
    let labels = (0..rows.variables).flat_map(|label| u64::from(u32_of(label)).to_le_bytes()).collect();
    Ok(assemble(b"r1cs", &[(1, header), (2, constraints), (3, labels)]))
}

/// Section 4: row by row the terms of A, then of B, and a row of A for each input, which keeps inputs from being exchanged.
fn coefficients(rows: &Rows<'_>) -> Vec<u8> {
    let mut count = 0;
    let mut bytes = Vec::new();
    let mut put = |matrix: usize, row: usize, (factor, variable): (Fr, usize)| {
        count += 1;
        for number in [matrix, row, variable] {
            bytes.extend(u32_of(number).to_le_bytes());
        }
        write_coefficient(factor, &mut bytes);
    };
    for (index, (a, b)) in rows.a.iter().zip(rows.b).enumerate() {
        a.iter().for_each(|term| put(0, index, *term));
        b.iter().for_each(|term| put(1, index, *term));
    }
    for input in 0..rows.inputs {
        put(0, rows.a.len() + input, (Fr::ONE, input));
    }
    let mut section = u32_of(count).to_le_bytes().to_vec();
    section.extend(bytes);
    section
}

/// Points of all variables, those of the inputs first.
struct Queries {
    a: Vec<G1Affine>,
    b_g1: Vec<G1Affine>,
    b_g2: Vec<G2Affine>,
    /// `β·A + α·B + C`: IC, then L.
    rest: Vec<G1Affine>,
}

/// For each distinct row, the sum of the points of where it stands.
#[derive(Default)]
struct Sums {
    a: Vec<G1Projective>,
    b_g1: Vec<G1Projective>,
    b_g2: Vec<G2Projective>,
    rest: Vec<G1Projective>,
}

impl Queries {
    fn of(rows: &Rows<'_>, ptau: &Ptau) -> Self {
        let inputs: Vec<Row> = (0..rows.inputs).map(|input| vec![(Fr::ONE, input)]).collect();
        let mut numbers: HashMap<&[(Fr, usize)], usize> = HashMap::new();
        let mut sums = Sums::default();
        let mut terms: Vec<Vec<(usize, Fr)>> = vec![Vec::new(); rows.variables];
        let mut place = |row, sums: &mut Sums| distinct(row, &mut numbers, &mut terms, sums);
        let with_inputs = rows.a.iter().chain(&inputs);
        for ((row, tau), beta_tau) in with_inputs.zip(&ptau.lagrange_tau_g1).zip(&ptau.lagrange_beta_tau_g1) {
            let at = place(row, &mut sums);
            add(&mut sums.a, at, tau);
            add(&mut sums.rest, at, beta_tau);
        }
        let tau = ptau.lagrange_tau_g1.iter().zip(&ptau.lagrange_tau_g2);
        for ((row, (tau, tau_g2)), alpha_tau) in rows.b.iter().zip(tau).zip(&ptau.lagrange_alpha_tau_g1) {
            let at = place(row, &mut sums);
            add(&mut sums.b_g1, at, tau);
            add(&mut sums.b_g2, at, tau_g2);
            add(&mut sums.rest, at, alpha_tau);
        }
        for (row, tau) in rows.c.iter().zip(&ptau.lagrange_tau_g1) {
            let at = place(row, &mut sums);
            add(&mut sums.rest, at, tau);
        }
        // The points of G2 take as long as all others.
        std::thread::scope(|scope| {
            let b_g2 = scope.spawn(|| per_variable(&sums.b_g2, &terms));
            let (a, b_g1) = (per_variable(&sums.a, &terms), per_variable(&sums.b_g1, &terms));
            let rest = per_variable(&sums.rest, &terms);
            let b_g2 = b_g2.join().expect("invariant: the thread only computes");
            Self { a, b_g1, b_g2, rest }
        })
    }
}

/// The number of a row among the distinct ones.
fn distinct<'a>(
    row: &'a Row,
    numbers: &mut HashMap<&'a [(Fr, usize)], usize>,
    terms: &mut [Vec<(usize, Fr)>],
    sums: &mut Sums,
) -> usize {
    let next = numbers.len();
    *numbers.entry(row.as_slice()).or_insert_with(|| {
        for (factor, variable) in row {
            if let Some(of_variable) = terms.get_mut(*variable) {
                of_variable.push((next, *factor));
            }
        }
        sums.a.push(G1Projective::zero());
        sums.b_g1.push(G1Projective::zero());
        sums.b_g2.push(G2Projective::zero());
        sums.rest.push(G1Projective::zero());
        next
    })
}

fn add<G: CurveGroup>(sums: &mut [G], at: usize, point: &G::Affine) {
    if let Some(sum) = sums.get_mut(at) {
        *sum += point;
    }
}

/// For each variable the sum over its terms.
fn per_variable<G: CurveGroup + VariableBaseMSM<MulBase = G::Affine>>(
    sums: &[G],
    terms: &[Vec<(usize, G::ScalarField)>],
) -> Vec<G::Affine> {
    let points = G::normalize_batch(sums);
    let of_variable = terms.iter().map(|terms| {
        let used = terms.iter().filter_map(|(row, factor)| Some((*points.get(*row)?, *factor)));
        let (points, factors): (Vec<_>, Vec<_>) = used.filter(|(point, _)| !point.is_zero()).unzip();
        match (points.as_slice(), factors.as_slice()) {
            ([], _) => G::zero(),
            ([point], [factor]) if *factor == G::ScalarField::ONE => (*point).into(),
            (points, factors) => sum::<G>(points, factors).into(),
        }
    });
    let of_variable: Vec<G> = of_variable.collect();
    G::normalize_batch(&of_variable)
}

/// snarkjs's hash of a circuit: the verifying key, and all queries with their lengths before them. For H, whose points others
/// can only compute from the powers, it takes the powers' differences `τⁱ⁺ⁿ − τⁱ`.
fn circuit_hash(zkey: &Zkey, ptau: &Ptau) -> Hash {
    let mut hasher = Blake2b512::new();
    hasher.update(hashed_point(&zkey.alpha_g1));
    hasher.update(hashed_point(&zkey.beta_g1));
    hasher.update(hashed_point(&zkey.beta_g2));
    hasher.update(hashed_point(&zkey.gamma_g2));
    hasher.update(hashed_point(&zkey.delta_g1));
    hasher.update(hashed_point(&zkey.delta_g2));
    let powers = ptau.tau_g1.iter().zip(ptau.tau_g1.iter().skip(ptau.size)).take(ptau.size - 1);
    let differences: Vec<G1Projective> = powers.map(|(low, high)| *high - *low).collect();
    let differences = G1Projective::normalize_batch(&differences);
    for query in [&zkey.ic, &differences, &zkey.l, &zkey.a, &zkey.b_g1] {
        hasher.update(u32_of(query.len()).to_be_bytes());
        query.iter().for_each(|point| hasher.update(hashed_point(point)));
    }
    hasher.update(u32_of(zkey.b_g2.len()).to_be_bytes());
    zkey.b_g2.iter().for_each(|point| hasher.update(hashed_point(point)));
    hasher.finalize().into()
}
