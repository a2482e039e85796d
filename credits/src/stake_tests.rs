use super::*;

const LEDGER: Bytes32 = Bytes32([1; 32]);
const GUARDIAN: Bytes32 = Bytes32([5; 32]);
const NOW: u64 = 1_000;

fn credits(value: u64) -> Credits {
    Credits::new(value).unwrap()
}

fn key() -> PayeeKey {
    PayeeKey::from_seed(&[7; 32])
}

fn put(amount: u64) -> StakeAct {
    StakeAct::Put { amount: credits(amount) }
}

fn back(until: u64) -> StakeAct {
    StakeAct::Back { settle_key: GUARDIAN, until }
}

/// Decides and carries out an act, as a ledger does.
fn step(bond: &mut Bond, act: StakeAct, now: u64) -> Result<StakeMove, LedgerError> {
    let request = StakeRequest::sign(&key(), &LEDGER, bond.acts, act);
    match bond.decide(&request, now)? {
        StakeDecision::Record => Ok(bond.carry_out(act, now, bond.acts + 100)),
        StakeDecision::Repeat { .. } => panic!("no repeat"),
    }
}

/// Computed apart, with Python's `hashlib` and PyPI `cryptography`, from `docs/protocol.md` alone.
#[test]
fn signature_vector() {
    let expected = "2542a095ec811621327acbc4b862c5f4b8393136212164cb618da50e642a29e1\
                    3bbd18e5c006026a67cfd4b9393683e82d67bc73a60bcb04fa5bebf4f6be800a";
    assert_eq!(StakeRequest::sign(&key(), &LEDGER, 2, put(4)).signature.to_string(), expected);
}

/// The identity as a key: R = S·B for S = 0, whatever is signed.
#[test]
fn nobody_stakes_under_a_key_that_signs_for_anybody() {
    let (mut identity, mut signature) = ([0; 32], [0; 64]);
    (identity[0], signature[0]) = (1, 1);
    let (payee, signature) = (Bytes32(identity), SignatureBytes(signature));
    let message = stake_message(&LEDGER, &payee, 0, &put(4));
    assert_eq!(verify_ed25519(&payee, &message, &signature), Ok(()), "the library takes it");
    let verified = VerifiedStake::verify(StakeRequest { payee, seq: 0, act: put(4), signature }, &LEDGER);
    assert_eq!(verified.map(|_| ()), Err(LedgerError::StakeSignature));
}

#[test]
fn what_is_backed_is_held_and_answers_until_its_time() {
    let mut bond = Bond::default();
    assert_eq!(step(&mut bond, put(10), NOW), Ok(StakeMove::In(credits(10))));
    assert_eq!(bond.at_stake(&GUARDIAN, NOW), Credits::ZERO);
    assert_eq!(step(&mut bond, back(NOW + 5), NOW), Ok(StakeMove::Nothing));
    for (time, expected) in [(0, 10), (NOW, 10), (NOW + 5, 10), (NOW + 6, 0), (u64::MAX, 0)] {
        assert_eq!(bond.at_stake(&GUARDIAN, time), credits(expected), "{time}");
    }
    assert_eq!(bond.at_stake(&Bytes32([6; 32]), NOW), Credits::ZERO);
    assert_eq!(step(&mut bond, StakeAct::Take {}, NOW + 5), Err(LedgerError::StakeHeld));
    assert_eq!(step(&mut bond, StakeAct::Take {}, NOW + 6), Ok(StakeMove::Out(credits(10))));
    assert_eq!((bond.amount, bond.held_until(), bond.acts), (Credits::ZERO, 0, 3));
    assert_eq!(step(&mut bond, StakeAct::Take {}, NOW + 6), Err(LedgerError::StakeNone));
}

#[test]
fn sums_that_are_no_amount_are_refused() {
    let mut bond = Bond::default();
    step(&mut bond, StakeAct::Put { amount: Credits::MAX }, NOW).unwrap();
    let before = bond.clone();
    assert_eq!(step(&mut bond, put(1), NOW), Err(LedgerError::StakeAboveOwed));
    assert_eq!(bond, before);
    // Neither numbers nor times wrap.
    bond.acts = u64::MAX;
    bond.last = Some((put(1), 9));
    let request = StakeRequest { seq: u64::MAX, ..StakeRequest::sign(&key(), &LEDGER, 0, put(1)) };
    assert_eq!(bond.decide(&request, NOW), Ok(StakeDecision::Repeat { entry_index: 9 }));
    assert_eq!(bond.decide_back(&GUARDIAN, u64::MAX, u64::MAX), Err(LedgerError::StakeUntil));
}

#[test]
fn a_slashed_bond_has_nothing_and_remembers_why() {
    let mut bond = Bond::default();
    step(&mut bond, put(10), NOW).unwrap();
    step(&mut bond, back(NOW + 5), NOW).unwrap();
    assert_eq!(bond.slash(Bytes32([9; 32]), 42), credits(10));
    assert_eq!((bond.amount, bond.held_until()), (Credits::ZERO, 0));
    assert_eq!(bond.slashed, Some((Bytes32([9; 32]), 42)));
    assert_eq!(step(&mut bond, back(NOW + 5), NOW), Err(LedgerError::StakeNone));
    assert_eq!(step(&mut bond, put(1), NOW), Ok(StakeMove::In(credits(1))));
    assert_eq!(bond.slashed, None);
}

#[test]
fn what_is_past_is_forgotten_with_the_next_act_and_promises_grow() {
    let mut bond = Bond::default();
    step(&mut bond, put(10), NOW).unwrap();
    step(&mut bond, back(NOW + 5), NOW).unwrap();
    for until in [NOW + 4, NOW + 5] {
        assert_eq!(step(&mut bond, back(until), NOW), Err(LedgerError::StakeUntil), "{until}");
    }
    step(&mut bond, put(1), NOW + 5).unwrap();
    assert_eq!(bond.backed.len(), 1);
    step(&mut bond, put(1), NOW + 6).unwrap();
    assert_eq!((bond.backed.len(), bond.held_until()), (0, 0));
    assert_eq!(step(&mut bond, back(NOW + 7), NOW + 6), Ok(StakeMove::Nothing));
}
