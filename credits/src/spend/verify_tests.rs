//! Batches give each proof the verdict it has alone. Numbers `nXX` are those of `design/credits.md` §7.

use rand_core::{CryptoRng, RngCore};

use ark_bn254::{Fr, G1Affine};
use ark_ec::CurveGroup;
use ark_ff::{Field, UniformRand};

use super::*;
use crate::field::Fe;
use crate::fixture::{TestRng, context, credits, params, proof, public, witness};
use crate::spend::prove;

/// As many proofs as one batch of the ledger has.
const MANY: usize = 64;

/// Good proofs for a few contexts, repeated and re-randomised, so that no two have the same bytes.
fn good(count: usize) -> Vec<(SpendPublic, SpendProof)> {
    let rng = &mut TestRng::new(90);
    let proved: Vec<_> = (0..4_u64)
        .map(|number| {
            let mut context = context();
            context.not_after += number;
            let public = SpendPublic { ctx: context.digest(credits(512)), ..public() };
            (public, prove(params(), &public, &witness(), rng).unwrap())
        })
        .collect();
    (0..count)
        .map(|number| {
            let (public, proof) = proved[number % proved.len()];
            let (a, b, c) = proof.points().unwrap();
            let r = Fr::rand(rng);
            let a = (a * r.inverse().unwrap()).into_affine();
            (public, SpendProof::from_points(&a, &(b * r).into_affine(), &c).unwrap())
        })
        .collect()
}

fn codes(verdicts: &[Verdict]) -> Vec<&'static str> {
    verdicts.iter().map(|verdict| verdict.as_ref().map_or_else(|refusal| refusal.code(), |_| "good")).collect()
}

/// Verifies a batch and compares with each alone.
fn verified(proofs: &[(SpendPublic, SpendProof)]) -> Vec<&'static str> {
    let verifying = params().verifying();
    let verdicts = verifying.verify_batch(proofs, &mut TestRng::new(91));
    let alone: Vec<_> = proofs.iter().map(|(public, proof)| verifying.verify(public, proof)).collect();
    assert_eq!(verdicts, alone);
    codes(&verdicts)
}

#[test]
fn batches_of_every_size_are_good() {
    let proofs = good(9);
    for count in 0..=proofs.len() {
        assert_eq!(verified(&proofs[..count]), vec!["good"; count]);
    }
}

#[test]
fn n09_one_bad_proof_of_64_is_refused_alone() {
    for (at, malformed) in [(0, false), (31, true), (63, false)] {
        let mut proofs = good(MANY);
        if malformed {
            proofs[at].1 = SpendProof::from_bytes([0xff; 128]);
        } else {
            proofs[at].0.ctx = Fe::from(1);
        }
        let codes = verified(&proofs);
        let code = if malformed { "spend.proof_malformed" } else { "spend.proof_invalid" };
        assert_eq!((codes[at], codes.iter().filter(|code| **code == "good").count()), (code, MANY - 1), "at {at}");
    }
}

/// On the curve and outside the subgroup: found by the lines, as alone by a multiplication.
#[test]
fn n09_a_point_outside_its_subgroup_is_refused_alone() {
    let mut proofs = good(8);
    for (at, seed) in [(1, 3_u64), (6, 4)] {
        let (a, b, c) = proofs[at].1.points().unwrap();
        let outside = (seed..).find_map(|x| G2Affine::get_point_from_x_unchecked(x.into(), false)).unwrap();
        assert!(!outside.is_in_correct_subgroup_assuming_on_curve());
        let b = if at == 1 { outside } else { (b + outside).into_affine() };
        proofs[at].1 = SpendProof::from_points(&a, &b, &c).unwrap();
    }
    let mut expected = vec!["good"; 8];
    (expected[1], expected[6]) = ("spend.proof_malformed", "spend.proof_malformed");
    assert_eq!(verified(&proofs), expected);
}

/// What each is short of, the other has too much: with equal powers they would pass together.
#[test]
fn n09_bad_proofs_that_cancel_are_refused() {
    let verifying = params().verifying();
    let mut proofs = good(8);
    let shift = G1Affine::rand(&mut TestRng::new(92));
    for (at, shift) in [(2, shift), (5, -shift)] {
        let (a, b, c) = proofs[at].1.points().unwrap();
        proofs[at].1 = SpendProof::from_points(&a, &b, &(c + shift).into_affine()).unwrap();
    }
    // Without random powers the product of all equations holds.
    let product = |rng: &mut Ones| {
        let mut verdicts = vec![Err(SpendRejection::ProofMalformed); proofs.len()];
        let decoded = proofs.iter().zip(&mut verdicts);
        let asked = with_lines(decoded.map(|(asked, verdict)| (asked, asked.1.points().unwrap(), verdict)).collect());
        let all: Vec<_> = asked.iter().map(|asked| (&asked.claim, &asked.lines)).collect();
        assert_eq!(all.len(), proofs.len());
        verifying.equation().all_hold(&all, rng)
    };
    assert!(product(&mut Ones), "the two cancel");
    let mut expected = vec!["good"; 8];
    (expected[2], expected[5]) = ("spend.proof_invalid", "spend.proof_invalid");
    assert_eq!(verified(&proofs), expected);
}

/// A generator that anybody can foresee: every power is one.
struct Ones;

impl RngCore for Ones {
    fn next_u32(&mut self) -> u32 {
        1
    }

    fn next_u64(&mut self) -> u64 {
        1
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
        bytes[0] = 1;
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Ones {}

/// All of them bad, or every second one: each is found.
#[test]
fn n09_batches_of_bad_proofs_are_refused() {
    let mut proofs = good(MANY);
    for (public, _) in proofs.iter_mut().step_by(2) {
        public.c_max = credits(511);
    }
    let codes = verified(&proofs);
    assert!(codes.chunks(2).all(|pair| pair == ["spend.proof_invalid", "good"]), "{codes:?}");
    for (public, _) in &mut proofs {
        public.nullifier = crate::note::Nullifier(Fe::from(1));
    }
    assert_eq!(verified(&proofs), vec!["spend.proof_invalid"; MANY]);
    // The same proof many times.
    assert_eq!(verified(&[(public(), proof()); 5]), vec!["good"; 5]);
}
