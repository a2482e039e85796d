//! Contributions that only a cheat makes; what other programs can make of bytes is in `tests/refusals.rs`.

use ark_ff::UniformRand;
use ceremony_testing::{Highest, Secrets, SmallCircuit, ptau};
use credits::circuit::Relation;
use rand_core::OsRng;

use super::*;
use crate::limits::BEACONS_MAX;
use crate::{Ptau, start, verify};

fn first() -> Zkey {
    let circuit = Relation::of(SmallCircuit::example()).unwrap();
    let file = ptau(3, &Secrets::from_seed(1), Highest::Missing);
    start(&circuit, &Ptau::read(&file, &circuit, &mut OsRng).unwrap()).unwrap()
}

fn random() -> G1Affine {
    (G1Affine::generator() * Fr::rand(&mut OsRng)).into_affine()
}

fn verdict(first: &Zkey, zkey: Zkey) -> Result<(), CeremonyError> {
    verify(first, zkey, &mut OsRng).map(|_| ())
}

#[test]
fn a_contribution_of_the_factor_one_is_refused() {
    let first = first();
    let mut zkey = first.clone();
    apply(&mut zkey, &Zeroizing::new(Fr::ONE), random(), None, None).unwrap();
    assert_eq!(verdict(&first, zkey.clone()), Err(CeremonyError::NoChange { contribution: 1 }));
    // Nor does it help that others follow.
    contribute(&mut zkey, "honest", b"", &mut OsRng).unwrap();
    assert_eq!(verdict(&first, zkey), Err(CeremonyError::NoChange { contribution: 1 }));
}

/// Everybody knows a beacon's factor: alone it makes parameters that everybody forges with.
#[test]
fn beacons_alone_are_no_contribution() {
    let first = first();
    let beacon = || Beacon { value: vec![0x0b, 0xad, 0xbe, 0xac], iterations: 10 };
    let mut zkey = first.clone();
    contribute_beacon(&mut zkey, beacon()).unwrap();
    let verified = verify(&first, zkey, &mut OsRng).unwrap();
    assert_eq!(verified.proving_params().unwrap_err(), CeremonyError::NoContribution);
    let mut zkey = first.clone();
    for _ in 0..=BEACONS_MAX {
        contribute_beacon(&mut zkey, beacon()).unwrap();
    }
    assert_eq!(verdict(&first, zkey), Err(CeremonyError::BeaconBounds));
    let mut zkey = first.clone();
    contribute(&mut zkey, "somebody", b"", &mut OsRng).unwrap();
    contribute_beacon(&mut zkey, beacon()).unwrap();
    // It is refused as another circuit's, which comes after that.
    let verified = verify(&first, zkey, &mut OsRng).unwrap();
    assert!(verified.has_a_secret());
    assert!(matches!(verified.proving_params().unwrap_err(), CeremonyError::Params(_)));
}

/// Changes a contribution and gives it the transcript that it would have.
fn forged(first: &Zkey, change: impl FnOnce(&mut Contribution)) -> Zkey {
    let mut zkey = first.clone();
    contribute(&mut zkey, "cheat", b"", &mut OsRng).unwrap();
    let contribution = zkey.contributions.last_mut().unwrap();
    change(contribution);
    contribution.transcript = transcript(&chain(&first.circuit_hash, []), contribution.s, contribution.sx);
    zkey
}

#[test]
fn proofs_of_nothing_are_refused() {
    let first = first();
    let refused = Err(CeremonyError::Knowledge { contribution: 1 });
    // With identities on both sides every pairing equation holds.
    let identity = forged(&first, |contribution| {
        contribution.s = G1Affine::identity();
        contribution.sx = G1Affine::identity();
    });
    assert_eq!(verdict(&first, identity), refused);
    assert_eq!(verdict(&first, forged(&first, |contribution| contribution.px = G2Affine::identity())), refused);
    assert_eq!(
        verdict(&first, forged(&first, |contribution| contribution.delta_after = G1Affine::identity())),
        refused
    );
    // A factor is known for s, and another for delta; px cannot be both.
    assert_eq!(verdict(&first, forged(&first, |contribution| contribution.sx = random())), refused);
}

#[test]
fn a_delta_that_nobody_proved_is_refused() {
    // Somebody puts a delta of his own at the end and scales everything to it, so that he knows it.
    let first = first();
    let own = Fr::from(1234_u64);
    let mut zkey = first.clone();
    contribute(&mut zkey, "honest", b"", &mut OsRng).unwrap();
    let honest = zkey.contributions.clone();
    let mut cheat = first.clone();
    apply(&mut cheat, &Zeroizing::new(own), random(), None, None).unwrap();
    cheat.contributions = honest;
    assert_eq!(verdict(&first, cheat.clone()), Err(CeremonyError::Delta { contribution: 1 }));
    let own_delta = cheat.delta_g1;
    cheat.contributions.first_mut().unwrap().delta_after = own_delta;
    assert_eq!(verdict(&first, cheat), Err(CeremonyError::Delta { contribution: 1 }));
}

#[test]
fn queries_scaled_by_another_factor_are_refused() {
    let first = first();
    let mut good = first.clone();
    contribute(&mut good, "honest", b"", &mut OsRng).unwrap();
    verdict(&first, good.clone()).unwrap();
    let mut other = good.clone();
    other.l = first.l.clone();
    assert_eq!(verdict(&first, other), Err(CeremonyError::Query { section: 8 }));
    let mut other = good.clone();
    other.h = first.h.clone();
    assert_eq!(verdict(&first, other), Err(CeremonyError::Query { section: 9 }));
}

#[test]
fn entropy_alone_does_not_make_two_contributions_alike() {
    let first = first();
    let mut hashes = std::collections::BTreeSet::new();
    for _ in 0..4 {
        let mut zkey = first.clone();
        assert!(hashes.insert(contribute(&mut zkey, "same", b"the same", &mut OsRng).unwrap()));
    }
    // And it does make a difference when the system's randomness is known.
    let fresh = [7; FRESH_LEN];
    assert_ne!(mix(b"factor", &fresh, b"one"), mix(b"factor", &fresh, b"two"));
    assert_ne!(mix(b"factor", &fresh, b"one"), mix(b"base", &fresh, b"one"));
}
