//! Parameters that must be refused. Numbers `nXX` are those of `design/credits.md` §7.

use ark_bn254::{Fq, Fq2, Fr, G1Projective};
use ark_ec::CurveGroup;
use ark_ff::{AdditiveGroup, UniformRand};

use super::*;
use crate::fixture::{Fault, TestRng, params, public, witness};
use crate::spend::{ProveError, prove};

type Key = VerifyingKey<Bn254>;

fn key() -> Key {
    decode(Statement::Spend, &params().verifying().to_bytes()).unwrap()
}

fn refusal(bytes: &[u8]) -> Result<Bytes32, &'static str> {
    VerifyingParams::from_bytes(bytes).map(|params| params.digest()).map_err(ParamsError::code)
}

#[test]
fn a_verifying_key_survives_encoding() {
    let bytes = params().verifying().to_bytes();
    assert_eq!(bytes.len(), 436);
    assert_eq!(encode(Statement::Spend, &key()), bytes);
    assert_eq!(refusal(&bytes), Ok(sha256(&bytes)));
    assert_eq!(params().verifying().digest(), sha256(&bytes));
}

#[test]
fn n07_forgeable_and_degenerate_keys_are_refused() {
    let faults: [Fault<Key>; 20] = [
        ("gamma = delta", |key| key.gamma_g2 = key.delta_g2, "params.coincident"),
        ("gamma = -delta", |key| key.gamma_g2 = -key.delta_g2, "params.coincident"),
        ("beta = gamma", |key| key.beta_g2 = key.gamma_g2, "params.coincident"),
        ("beta = -gamma", |key| key.beta_g2 = -key.gamma_g2, "params.coincident"),
        ("beta = delta", |key| key.beta_g2 = key.delta_g2, "params.coincident"),
        ("beta = -delta", |key| key.beta_g2 = -key.delta_g2, "params.coincident"),
        ("alpha at infinity", |key| key.alpha_g1 = G1Affine::identity(), "params.identity"),
        ("beta at infinity", |key| key.beta_g2 = G2Affine::identity(), "params.identity"),
        ("gamma at infinity", |key| key.gamma_g2 = G2Affine::identity(), "params.identity"),
        ("delta at infinity", |key| key.delta_g2 = G2Affine::identity(), "params.identity"),
        ("IC 0 at infinity", |key| key.gamma_abc_g1[0] = G1Affine::identity(), "params.identity"),
        ("IC 5 at infinity", |key| key.gamma_abc_g1[5] = G1Affine::identity(), "params.identity"),
        ("alpha a generator", |key| key.alpha_g1 = G1Affine::generator(), "params.generator"),
        ("beta a generator", |key| key.beta_g2 = G2Affine::generator(), "params.generator"),
        ("delta a generator", |key| key.delta_g2 = G2Affine::generator(), "params.generator"),
        ("delta outside the subgroup", |key| key.delta_g2 = outside_the_subgroup(), "params.point"),
        ("gamma outside the subgroup", |key| key.gamma_g2 = outside_the_subgroup(), "params.point"),
        ("four inputs", |key| key.gamma_abc_g1.truncate(5), "params.length"),
        ("six inputs", |key| key.gamma_abc_g1.push(key.gamma_abc_g1[0]), "params.length"),
        ("no inputs", |key| key.gamma_abc_g1.clear(), "params.length"),
    ];
    for (name, fault, code) in faults {
        let mut key = key();
        fault(&mut key);
        assert_eq!(refusal(&encode(Statement::Spend, &key)), Err(code), "{name}");
    }
}

#[test]
fn n07_bytes_that_are_no_key_are_refused() {
    let good = params().verifying().to_bytes();
    let faults: [Fault<Vec<u8>>; 7] = [
        ("empty", |bytes| bytes.clear(), "params.length"),
        ("a byte short", |bytes| bytes.truncate(bytes.len() - 1), "params.length"),
        ("a byte long", |bytes| bytes.push(0), "params.length"),
        ("another version", |bytes| bytes[19] = b'2', "params.magic"),
        ("the proving key's magic", |bytes| bytes[15] = b'p', "params.magic"),
        ("infinity beside a coordinate", |bytes| bytes[20 + 31] |= 0x40, "params.point"),
        ("a coordinate above q", |bytes| bytes[20..52].copy_from_slice(&[0x3f; 32]), "params.point"),
    ];
    for (name, fault, code) in faults {
        let mut bytes = good.to_vec();
        fault(&mut bytes);
        assert_eq!(refusal(&bytes), Err(code), "{name}");
    }
}

/// Why the boot check exists: with γ = δ anyone proves anything (`design/credits.md` §1.8).
#[test]
fn n07_a_key_with_gamma_equal_to_delta_accepts_forgeries() {
    let VerifyingKey { alpha_g1: alpha, beta_g2: beta, gamma_g2: gamma, delta_g2: delta, gamma_abc_g1: ic } = key();
    let equation = |gamma, delta| Equation::new(alpha, beta, gamma, delta, ic.clone().try_into().unwrap());
    let rng = &mut TestRng::new(7);
    let inputs = std::array::from_fn(|_| Fr::rand(rng));
    let statement: G1Projective = ic[0] + ic[1..].iter().zip(inputs).map(|(ic, x)| *ic * x).sum::<G1Projective>();
    let claim = Claim { inputs, a: alpha, b: beta, c: (-statement).into_affine() };
    assert!(equation(delta, delta).unwrap().holds(&claim));
    assert!(!equation(gamma, delta).unwrap().holds(&claim));
}

fn outside_the_subgroup() -> G2Affine {
    (1u64..)
        .filter_map(|x| G2Affine::get_point_from_x_unchecked(Fq2::new(Fq::from(x), Fq::ZERO), false))
        .find(|point| !point.is_in_correct_subgroup_assuming_on_curve())
        .unwrap()
}

#[test]
fn a_proving_key_survives_encoding_and_is_pinned() {
    let bytes = params().to_bytes();
    let digest = params().verifying().digest();
    let again = ProvingParams::from_bytes(&bytes, digest).unwrap();
    assert_eq!(again.to_bytes(), bytes);
    assert_eq!(again.constraints(), 6_311);
    let proof = prove(&again, &public(), &witness(), &mut TestRng::new(1)).unwrap();
    assert_eq!(params().verifying().verify(&public(), &proof).map(|spend| *spend.public()), Ok(public()));

    let other = Bytes32([1; 32]);
    let refused = ProvingParams::from_bytes(&bytes, other).unwrap_err();
    assert_eq!(refused, ParamsError::VerifyingKey { expected: other, got: digest });
}

#[test]
fn bytes_that_are_no_proving_key_are_refused() {
    let good = params().to_bytes();
    // magic, verifying key, beta_g1, delta_g1.
    const DELTA_G1: usize = 20 + 436 + 64;
    let faults: [Fault<Vec<u8>>; 8] = [
        ("empty", |bytes| bytes.clear(), "params.length"),
        ("a byte short", |bytes| bytes.truncate(bytes.len() - 1), "params.length"),
        ("a byte long", |bytes| bytes.push(0), "params.length"),
        ("another version", |bytes| bytes[19] = b'1', "params.magic"),
        (
            "a verifying key with gamma = delta",
            |bytes| bytes.copy_within(20 + 180..20 + 244, 20 + 116),
            "params.coincident",
        ),
        ("off the curve", |bytes| bytes[DELTA_G1] ^= 1, "params.point"),
        (
            "delta_g1 at infinity",
            |bytes| {
                bytes[DELTA_G1..DELTA_G1 + 64].fill(0);
                bytes[DELTA_G1 + 63] = 0x40;
            },
            "params.identity",
        ),
        (
            "a coordinate above q",
            |bytes| {
                let end = bytes.len();
                bytes[end - 64..].fill(0x3f);
            },
            "params.point",
        ),
    ];
    for (name, fault, code) in faults {
        let mut bytes = good.clone();
        fault(&mut bytes);
        let refused = ProvingParams::from_bytes(&bytes, params().verifying().digest()).map_err(ParamsError::code);
        assert_eq!(refused.map(|_| ()), Err(code), "{name}");
    }
}

#[test]
fn a_hostile_proving_key_makes_no_proofs() {
    // One point of each query is exchanged for another: the key loads, and what it would prove is never handed out.
    let bytes = params().to_bytes();
    let (g1, g2, variables) = (64, 128, 6_368);
    let a_query = 20 + 436 + 2 * g1;
    let b_g2_query = a_query + 2 * variables * g1;
    let h_query = b_g2_query + variables * g2;
    // The constant's points are used by every proof.
    for (name, at, len) in [("A", a_query, g1), ("B", b_g2_query, g2), ("H", h_query, g1), ("L", bytes.len() - g1, g1)]
    {
        let mut hostile = bytes.clone();
        let point = if len == g1 { uncompressed(&key().alpha_g1) } else { uncompressed(&key().beta_g2) };
        hostile[at..at + len].copy_from_slice(&point);
        let params = ProvingParams::from_bytes(&hostile, params().verifying().digest()).unwrap();
        let refused = prove(&params, &public(), &witness(), &mut TestRng::new(1));
        assert_eq!(refused, Err(ProveError::ProvingKey), "{name}");
    }
}

#[test]
fn a_proving_key_with_points_outside_the_subgroup_makes_no_proofs() {
    let mut bytes = params().to_bytes();
    let b_g2_query = 20 + 436 + 2 * 64 + 2 * 6_368 * 64;
    bytes[b_g2_query..b_g2_query + 128].copy_from_slice(&uncompressed(&outside_the_subgroup()));
    let params = ProvingParams::from_bytes(&bytes, params().verifying().digest()).unwrap();
    let refused = prove(&params, &public(), &witness(), &mut TestRng::new(1));
    assert_eq!(refused, Err(ProveError::ProvingKey));
}

fn uncompressed(point: &impl CanonicalSerialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    point.serialize_uncompressed(&mut bytes).unwrap();
    bytes
}
