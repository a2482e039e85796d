//! Deposits, reservations, settlements, claims and exits with real proofs, and what is refused.
//! The names carry the numbers of `docs/credit-tests.md`.

use credits::Credits;
use credits::note::mint_rho;
use revm::primitives::{Address, U256, keccak256};

use crate::chain::{Failure, START, Word, account, number, word};
use crate::fixture::{modulus, params};
use crate::world::{
    DEPOSITOR, FUNDS, GRACE_SECS, Guardian, HOME, PAYEE, Purse, STRANGER, Spend, TAB_SECS_MAX, Terms, UNIT, World,
    address_word, credits, ledger_id, other_form,
};

const RESERVED: u64 = 1;
const SETTLED: u64 = 2;
const VOIDED: u64 = 3;
const NOT_AFTER: u64 = START + 1_000;
const HOLDER: u8 = 0x44;

fn guardian() -> Guardian {
    Guardian::new(7)
}

/// A world, a purse with notes of these values, and the first spend of up to 256 credits.
fn prepared(values: &[u64]) -> (World, Purse, Spend) {
    let mut world = World::new();
    let mut purse = Purse::new(20);
    purse.deposit(&mut world, values);
    let spend = purse.spend(&mut world, 256, Terms::new(NOT_AFTER));
    (world, purse, spend)
}

#[test]
fn a_deposit_is_spent_settled_spent_again_voided_and_taken_out() {
    let (mut world, mut purse, first) = prepared(&[1_000]);
    let contract = world.cloister.address;
    assert_eq!(world.tokens(contract), 1_000 * UNIT);
    assert_eq!(world.tokens(account(DEPOSITOR)), (FUNDS - 1_000) * UNIT);

    let done = world.reserve(&first).unwrap();
    let (topics, data) = done.event(&format!("Reserved(uint256,uint256,{})", crate::world::TERMS));
    assert_eq!((topics[0].0, data), (first.nullifier, [&[first.root][..], &first.terms.words()].concat().concat()));
    assert_eq!((world.state(first.nullifier), world.totals()), (RESERVED, [1_000, 256, 0]));

    let done = world.settle(&first, 56, &guardian()).unwrap();
    purse.scan(&done);
    assert_eq!((world.state(first.nullifier), world.totals()), (SETTLED, [1_000, 0, 56]));
    assert_eq!(purse.balance(), 944);

    // The successor is a note like any other: its refund is in the leaf. Nobody settles this spend.
    purse.record(&mut world);
    let second = purse.spend(&mut world, 900, Terms::new(NOT_AFTER));
    world.reserve(&second).unwrap();
    world.chain.now = NOT_AFTER + GRACE_SECS + 1;
    let deadline = world.chain.now + 60;
    let done = world.void(&second).unwrap();
    purse.scan(&done);
    assert_eq!((world.state(second.nullifier), world.totals()), (VOIDED, [1_000, 0, 56]));
    assert_eq!(purse.balance(), 944);

    // Out to an address; the rest is a note again.
    purse.record(&mut world);
    let third = purse.spend(&mut world, 500, Terms::exit(deadline, account(HOLDER)));
    let done = world.send(STRANGER, "exit", &third.words()).unwrap();
    purse.scan(&done);
    assert_eq!((world.state(third.nullifier), world.totals()), (SETTLED, [500, 0, 56]));
    assert_eq!((world.tokens(account(HOLDER)), purse.balance()), (500 * UNIT, 444));

    world.send(PAYEE, "claim", &[address_word(account(HOLDER))]).unwrap();
    assert_eq!(world.totals(), [444, 0, 0]);
    assert_eq!((world.tokens(account(HOLDER)), world.tokens(contract)), (556 * UNIT, 444 * UNIT));

    purse.record(&mut world);
    let last = purse.spend(&mut world, 444, Terms::exit(deadline, account(HOLDER)));
    world.send(STRANGER, "exit", &last.words()).unwrap();
    assert_eq!((world.tokens(account(HOLDER)), world.tokens(contract)), (1_000 * UNIT, 0));
}

#[test]
fn contexts_rho_and_ledger_id_are_the_protocols() {
    let mut world = World::new();
    let (contract, vk_digest) = (world.cloister.address, params().verifying().digest());
    let id = ledger_id(HOME, contract, vk_digest);
    assert_eq!(world.ledger_id(), id);
    for (c_max, terms) in
        [(0, Terms::new(5)), (1, Terms::new(u64::MAX)), (Credits::MAX.get(), Terms::exit(7, account(9)))]
    {
        let terms = Terms { c_max, inner_next: [1; 32], ..terms };
        let digest = terms.context(id, vk_digest).digest(credits(c_max));
        assert_eq!(world.read("context", &terms.words()), *digest.as_bytes());
    }
    let mut purse = Purse::new(21);
    let outputs = [purse.output(3), purse.output(4)];
    let done = world.deposit(&outputs).unwrap();
    purse.scan(&done);
    let rhos: Vec<_> = purse.notes.iter().map(|(note, _)| note.rho).collect();
    assert_eq!(rhos, [0, 1].map(|seq| mint_rho(credits::Bytes32(id), seq)));
    // After a fork of the chain the contract is another ledger there, and signatures are for one of them.
    let message = [word(1), word(2), word(3), word(4)];
    let digest = world.read("settleDigest", &message);
    world.chain.fork(HOME + 1);
    assert_eq!(world.ledger_id(), ledger_id(HOME + 1, contract, vk_digest));
    assert_ne!(world.read("settleDigest", &message), digest);
}

#[test]
fn a_contract_is_not_made_with_limits_that_lock_credits_up() {
    let mut world = World::credulous();
    let verifier = world.chain.deploy("CredulousVerifier", &[[2; 32]]).unwrap();
    let hidden_part = world.chain.deploy("HiddenPart", &[]).unwrap();
    let [token, verifier, hidden_part] = [world.token, verifier, hidden_part].map(|part| address_word(part.address));
    let month = 30 * 24 * 3_600;
    let good = [token, word(UNIT), verifier, hidden_part, word(month), word(month), word(1)];
    world.chain.deploy("Cloister", &good).unwrap();
    let mut wide = [0; 32];
    wide[15] = 1;
    for (at, bad) in [
        (0, address_word(account(9))),
        (1, word(0)),
        (1, wide),
        (4, word(0)),
        (4, word(month + 1)),
        (5, word(month + 1)),
        (6, word(0)),
    ] {
        let mut arguments = good;
        arguments[at] = bad;
        match world.chain.deploy("Cloister", &arguments) {
            Err(failure) => failure.is("Configuration()"),
            Ok(_) => panic!("argument {at}: accepted"),
        }
    }
}

#[test]
fn settle_digests_are_eip_712() {
    let mut world = World::credulous();
    let domain_type = keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    let place = [word(HOME), address_word(world.cloister.address)];
    let domain = keccak256([domain_type.0, keccak256("Cloister").0, keccak256("1").0, place[0], place[1]].concat());
    let settle = "Settle(uint256 nullifier,uint256 innerNext,uint256 ctx,uint64 charge)";
    let named = [77, 78, 79, 5].map(word);
    let message = keccak256([&[keccak256(settle).0][..], &named].concat().concat());
    let expected = keccak256([&[0x19, 0x01][..], domain.as_slice(), message.as_slice()].concat());
    assert_eq!(world.read("settleDigest", &named), expected.0);
}

/// One fault of a spend that would be accepted, and the error.
type Fault = (&'static str, fn(&mut Spend), &'static str);

#[test]
fn n03_n04_n14_n23_n24_n27_n28_n30_bad_spends_are_refused_and_reserve_nothing() {
    let (mut world, _, good) = prepared(&[1_000]);
    let faults: &[Fault] = &[
        ("nothing", |spend| spend.terms.c_max = 0, "ReserveZero()"),
        ("more than an amount", |spend| spend.terms.c_max = 1 << 53, "AmountTooLarge()"),
        ("less than was proved", |spend| spend.terms.c_max -= 1, "ProofInvalid()"),
        ("more than was proved", |spend| spend.terms.c_max += 1, "ProofInvalid()"),
        ("another payee", |spend| spend.terms.payee = account(STRANGER), "ProofInvalid()"),
        ("no payee", |spend| spend.terms.payee = Address::ZERO, "PayeeMissing()"),
        ("another settle key", |spend| spend.terms.settle_key = account(STRANGER), "ProofInvalid()"),
        ("no settle key", |spend| spend.terms.settle_key = Address::ZERO, "SettleKeyMissing()"),
        ("another boot", |spend| spend.terms.keyset_digest[0] ^= 1, "ProofInvalid()"),
        ("other prices", |spend| spend.terms.price_sheet_digest[31] ^= 1, "ProofInvalid()"),
        ("another tab key", |spend| spend.terms.tab_key[31] ^= 1, "ProofInvalid()"),
        ("another deadline", |spend| spend.terms.not_after += 1, "ProofInvalid()"),
        ("a deadline that is now", |spend| spend.terms.not_after = START, "Expired()"),
        ("a deadline too far", |spend| spend.terms.not_after = START + TAB_SECS_MAX + 1, "NotAfterTooFar()"),
        ("no deadline", |spend| spend.terms.not_after = u64::MAX, "NotAfterTooFar()"),
        ("another successor", |spend| spend.terms.inner_next = word(5), "ProofInvalid()"),
        ("an unknown root", |spend| spend.root = word(5), "RootUnknown()"),
        ("a successor that is not below r", |spend| add(&mut spend.terms.inner_next, modulus()), "ProofInvalid()"),
        ("a nullifier that is not below r", |spend| add(&mut spend.nullifier, modulus()), "ProofInvalid()"),
        ("a root that is not below r", |spend| add(&mut spend.root, modulus()), "RootUnknown()"),
        ("another nullifier", |spend| spend.nullifier = word(5), "ProofInvalid()"),
        ("another proof", |spend| spend.proof.swap(0, 6), "ProofInvalid()"),
        ("an identity", |spend| spend.proof[0..2].fill([0; 32]), "ProofInvalid()"),
    ];
    for (what, spoil, error) in faults {
        let mut spend = good.clone();
        spoil(&mut spend);
        match world.reserve(&spend) {
            Err(failure) => assert_eq!(failure, Failure::Reverted(keccak256(error)[..4].to_vec()), "{what}: {error}"),
            Ok(_) => panic!("{what}: accepted"),
        }
        assert_eq!((world.state(spend.nullifier), world.totals()), (0, [1_000, 0, 0]), "{what}");
    }
    // A word whose upper bytes are set is no address.
    let mut words = good.words();
    words[5][0] = 1;
    assert_eq!(world.send(STRANGER, "reserve", &words).unwrap_err(), Failure::Reverted(Vec::new()));
    // A spend is no exit, and its deadline is a last second.
    world.send(STRANGER, "exit", &good.words()).unwrap_err().is("SettleKeyMissing()");
    world.chain.now = NOT_AFTER;
    world.reserve(&good).unwrap_err().is("Expired()");
    world.chain.now = NOT_AFTER - 1;
    world.reserve(&good).unwrap();
}

fn add(word: &mut Word, more: Word) {
    *word = (U256::from_be_bytes(*word) + U256::from_be_bytes(more)).to_be_bytes();
}

#[test]
fn n29_a_spend_for_another_contract_or_chain() {
    let mut world = World::new();
    let mut purse = Purse::new(22);
    purse.deposit(&mut world, &[100, 100, 100]);
    let vk_digest = params().verifying().digest();
    for id in [ledger_id(HOME, account(5), vk_digest), ledger_id(HOME + 1, world.cloister.address, vk_digest)] {
        let spend = purse.spend_in(id, 64, Terms::new(NOT_AFTER));
        world.reserve(&spend).unwrap_err().is("ProofInvalid()");
    }
    let spend = purse.spend(&mut world, 64, Terms::new(NOT_AFTER));
    world.chain.fork(HOME + 1);
    world.reserve(&spend).unwrap_err().is("ProofInvalid()");
    world.chain.fork(HOME);
    world.reserve(&spend).unwrap();
}

#[test]
fn n08_n32_n33_n35_a_nullifier_and_a_successor_are_used_once() {
    let (mut world, mut purse, spend) = prepared(&[1_000]);
    world.reserve(&spend).unwrap();
    // The same again, its proof another or none: the nullifier decides.
    let again = Spend { proof: vec![[0; 32]; 8], ..spend.clone() };
    world.reserve(&again).unwrap_err().is("SpendRepeated()");
    let other = Spend { terms: Terms { payee: account(STRANGER), ..spend.terms.clone() }, ..spend.clone() };
    world.reserve(&other).unwrap_err().is("SpendConflict()");
    // And after it ended.
    let done = world.settle(&spend, 256, &guardian()).unwrap();
    purse.scan(&done);
    world.reserve(&spend).unwrap_err().is("SpendRepeated()");
    world.reserve(&other).unwrap_err().is("SpendConflict()");
    let out = Terms::exit(NOT_AFTER, account(HOLDER));
    let out = Spend { terms: Terms { c_max: 256, inner_next: spend.terms.inner_next, ..out }, ..spend.clone() };
    world.send(STRANGER, "exit", &out.words()).unwrap_err().is("SpendConflict()");
    assert_eq!(world.totals(), [1_000, 0, 256]);

    // No two proofs have one successor, so this verifier takes what is none.
    let mut world = World::credulous();
    world.deposit(&[[word(1), word(10), word(2)]]).unwrap();
    let first = world.made_up(1, Terms { c_max: 1, ..Terms::new(NOT_AFTER) });
    world.reserve(&first).unwrap();
    let second = Spend { nullifier: word(2), ..first };
    world.reserve(&second).unwrap_err().is("InnerReused()");
}

#[test]
fn n27_a_deadline_is_at_most_the_longest_reservation_away() {
    let mut world = World::credulous();
    world.deposit(&[[word(1), word(10), word(2)]]).unwrap();
    for (number, not_after, error) in [
        (1, START, Some("Expired()")),
        (2, START + 1, None),
        (3, START + TAB_SECS_MAX, None),
        (4, START + TAB_SECS_MAX + 1, Some("NotAfterTooFar()")),
    ] {
        let spend = world.made_up(number, Terms { c_max: 1, ..Terms::new(not_after) });
        match (world.reserve(&spend), error) {
            (answer, Some(error)) => answer.unwrap_err().is(error),
            (answer, None) => drop(answer.unwrap()),
        }
    }
}

#[test]
fn n34_n38_settlements_are_the_settle_keys_and_final() {
    let (mut world, mut purse, spend) = prepared(&[1_000, 700]);
    world.settle(&spend, 1, &guardian()).unwrap_err().is("SpendUnknown()");
    world.reserve(&spend).unwrap();
    world.settle(&spend, 1, &Guardian::new(8)).unwrap_err().is("SettleSignature()");
    world.settle(&spend, 257, &guardian()).unwrap_err().is("SettleAboveReserve()");
    let mut raised = spend.clone();
    raised.terms.c_max = 1_000;
    world.settle(&raised, 257, &guardian()).unwrap_err().is("SpendConflict()");

    // A signature for another charge, in its other form, or none.
    let digest = world.settle_digest(&spend, 9);
    let [v, r, s] = guardian().sign(digest);
    world.settle_signed(&spend, 10, [v, r, s]).unwrap_err().is("SettleSignature()");
    world.settle_signed(&spend, 9, other_form([v, r, s])).unwrap_err().is("SettleSignature()");
    for none in [[word(0), word(0), word(0)], [word(27), word(1), word(1)], [word(29), r, s]] {
        world.settle_signed(&spend, 9, none).unwrap_err().is("SettleSignature()");
    }
    world.void(&spend).unwrap_err().is("VoidTooEarly()");

    world.chain.now = NOT_AFTER + GRACE_SECS;
    let done = world.settle_signed(&spend, 9, [v, r, s]).unwrap();
    purse.scan(&done);
    for charge in [9, 0, 256] {
        world.settle(&spend, charge, &guardian()).unwrap_err().is("SpendEnded()");
    }
    world.chain.now = NOT_AFTER + GRACE_SECS + 1;
    world.void(&spend).unwrap_err().is("SpendEnded()");
    assert_eq!(world.totals(), [1_700, 0, 9]);

    // After its time a spend can only be voided, once; a signature that was good is not.
    world.chain.now = START;
    purse.record(&mut world);
    let late = purse.spend(&mut world, 512, Terms::new(NOT_AFTER));
    world.reserve(&late).unwrap();
    world.chain.now = NOT_AFTER + GRACE_SECS;
    world.void(&late).unwrap_err().is("VoidTooEarly()");
    world.chain.now += 1;
    world.settle(&late, 9, &guardian()).unwrap_err().is("SettleTooLate()");
    let mut other = late.clone();
    other.terms.c_max = 700;
    world.void(&other).unwrap_err().is("SpendConflict()");
    let done = world.void(&late).unwrap();
    purse.scan(&done);
    world.void(&late).unwrap_err().is("SpendEnded()");
    world.settle(&late, 0, &guardian()).unwrap_err().is("SpendEnded()");
    assert_eq!((world.totals(), purse.balance()), ([1_700, 0, 9], 1_691));
}

/// A guardian signs running totals as it goes, and dies: the operator has the last of them, and until the grace is over to send it.
#[test]
fn the_last_running_total_settles_without_the_guardian() {
    let mut world = World::credulous();
    world.deposit(&[[word(1), word(256), word(2)]]).unwrap();
    let spend = world.made_up(1, Terms { c_max: 256, ..Terms::new(NOT_AFTER) });
    world.reserve(&spend).unwrap();
    let totals = [10, 40, 90].map(|total| {
        let digest = world.settle_digest(&spend, total);
        (total, guardian().sign(digest))
    });
    world.chain.now = NOT_AFTER + GRACE_SECS;
    // None of them is good for more than it says.
    for (total, signature) in totals {
        world.settle_signed(&spend, total + 1, signature).unwrap_err().is("SettleSignature()");
    }
    let (last, signature) = totals[2];
    world.settle_signed(&spend, last, signature).unwrap();
    for (total, signature) in totals {
        world.settle_signed(&spend, total, signature).unwrap_err().is("SpendEnded()");
    }
    assert_eq!(world.totals(), [256, 0, 90]);
}

#[test]
fn claims_are_the_payees_and_once() {
    let (mut world, _, spend) = prepared(&[1_000]);
    world.reserve(&spend).unwrap();
    let to = [address_word(account(HOLDER))];
    world.send(PAYEE, "claim", &to).unwrap_err().is("NothingToClaim()");
    world.settle(&spend, 200, &guardian()).unwrap();
    world.send(STRANGER, "claim", &to).unwrap_err().is("NothingToClaim()");
    world.send(PAYEE, "claim", &[word(0)]).unwrap_err().is("PayeeMissing()");
    let own = address_word(world.cloister.address);
    world.send(PAYEE, "claim", &[own]).unwrap_err().is("TransferInexact()");
    assert_eq!(number(&world.read("claimable", &[address_word(account(PAYEE))])), 200);
    world.send(PAYEE, "claim", &to).unwrap();
    world.send(PAYEE, "claim", &to).unwrap_err().is("NothingToClaim()");
    assert_eq!(world.tokens(account(HOLDER)), 200 * UNIT);
    assert_eq!(world.totals(), [800, 0, 0]);
}

#[test]
fn n36_deposits_open_what_was_paid_for() {
    let mut world = World::credulous();
    let mut purse = Purse::new(23);
    let good = purse.output(5);
    world.deposit(&[]).unwrap_err().is("OutputsCount()");
    world.deposit(&[good; 9]).unwrap_err().is("OutputsCount()");
    world.deposit(&[good, [good[0], word(0), good[2]]]).unwrap_err().is("AmountZero()");
    world.deposit(&[[good[0], word(1 << 53), good[2]]]).unwrap_err().is("AmountTooLarge()");
    let mut far = good[0];
    add(&mut far, modulus());
    world.deposit(&[[far, good[1], good[2]]]).unwrap_err().is("OutputNotCanonical()");
    world.deposit(&[[good[0], good[1], modulus()]]).unwrap_err().is("OutputNotCanonical()");
    // More than a u64 is no value at all.
    let mut wide = word(5);
    wide[0] = 1;
    assert_eq!(world.deposit(&[[good[0], wide, good[2]]]).unwrap_err(), Failure::Reverted(Vec::new()));
    // More than the depositor has: the token's own refusal is passed on as ours.
    world.deposit(&[[good[0], word(FUNDS + 1), good[2]]]).unwrap_err().is("TransferRefused()");
    assert_eq!((world.totals(), world.counts()), ([0; 3], [0; 2]));

    // Equal openings are two notes: rho differs.
    let done = world.deposit(&[good; 8]).unwrap();
    purse.scan(&done);
    let rhos: std::collections::BTreeSet<_> = purse.notes.iter().map(|(note, _)| note.rho).collect();
    assert_eq!((rhos.len(), purse.balance()), (8, 40));

    // The cap on all credits.
    world.fund(account(DEPOSITOR), 1 << 53);
    let rest = Credits::MAX.get() - 40;
    world.deposit(&[[good[0], word(rest + 1), good[2]]]).unwrap_err().is("CapExceeded()");
    world.deposit(&[[good[0], word(rest), good[2]]]).unwrap();
    world.deposit(&[[good[0], word(1), good[2]]]).unwrap_err().is("CapExceeded()");
    assert_eq!(world.totals()[0], Credits::MAX.get());
}

#[test]
fn tokens_that_misbehave_move_nothing() {
    let (mut world, mut purse, spend) = prepared(&[1_000, 1_000]);
    world.reserve(&spend).unwrap();
    let done = world.settle(&spend, 100, &guardian()).unwrap();
    purse.scan(&done);
    purse.record(&mut world);
    let out = purse.spend(&mut world, 400, Terms::exit(NOT_AFTER, account(HOLDER)));
    let output = purse.output(10);
    let before = (world.totals(), world.tokens(world.cloister.address));
    let to = [address_word(account(HOLDER))];
    // Each of these contract functions would pay or take; called back they would do so once more.
    let claim = keccak256("claim(address)");
    let reentry = [[claim[0], claim[1], claim[2], claim[3]].as_slice(), &[0; 28]].concat().try_into().unwrap();
    world.chain.call(account(1), world.token, "reenterWith", &[reentry, to[0]]).unwrap();
    for (fault, error) in [
        (1, Some("TransferRefused()")),
        (2, None),
        (3, Some("TransferInexact()")),
        (4, Some("TransferInexact()")),
        (7, Some("TransferRefused()")),
        (5, None),
    ] {
        world.chain.call(account(1), world.token, "misbehave", &[word(fault)]).unwrap();
        // What a token takes for itself of a payment is between it and who is paid; a deposit must arrive whole.
        let paid_error = if fault == 3 { None } else { error };
        let deposited = world.deposit(&[output]);
        match error {
            Some(error) => deposited.unwrap_err().is(error),
            None => purse.scan(&deposited.unwrap()),
        }
        if let Some(error) = paid_error {
            world.send(PAYEE, "claim", &to).unwrap_err().is(error);
            world.send(STRANGER, "exit", &out.words()).unwrap_err().is(error);
        }
        if fault == 5 {
            let answer = world.chain.call(account(1), world.token, "reentryAnswer", &[]).unwrap().output;
            assert_eq!(answer[64..68], keccak256("Locked()")[..4], "called back while it was locked");
        }
    }
    let [outstanding, reserved, owed] = before.0;
    assert_eq!(world.totals(), [outstanding + 20, reserved, owed]);
    assert_eq!(world.tokens(world.cloister.address), before.1 + 20 * UNIT);
    // An honest token again, or one that calls back: each is paid once.
    world.send(PAYEE, "claim", &to).unwrap();
    world.send(STRANGER, "exit", &out.words()).unwrap();
    world.send(STRANGER, "exit", &out.words()).unwrap_err().is("SpendRepeated()");
    assert_eq!(world.tokens(account(HOLDER)), 500 * UNIT);
}

#[test]
fn exits_pay_whom_the_proof_names() {
    let mut world = World::new();
    let mut purse = Purse::new(24);
    purse.deposit(&mut world, &[1_000]);
    let good = purse.spend(&mut world, 400, Terms::exit(NOT_AFTER, account(HOLDER)));
    let faults: &[Fault] = &[
        ("another address", |spend| spend.terms.payee = account(STRANGER), "ProofInvalid()"),
        ("more", |spend| spend.terms.c_max = 401, "ProofInvalid()"),
        ("nothing", |spend| spend.terms.c_max = 0, "ReserveZero()"),
        ("nobody", |spend| spend.terms.payee = Address::ZERO, "PayeeMissing()"),
        ("a guardian's terms", |spend| spend.terms.settle_key = account(7), "SettleKeyMissing()"),
        ("a boot", |spend| spend.terms.keyset_digest = [1; 32], "SettleKeyMissing()"),
        ("a tab", |spend| spend.terms.tab_key = [1; 32], "SettleKeyMissing()"),
        ("prices", |spend| spend.terms.price_sheet_digest = [1; 32], "SettleKeyMissing()"),
        ("too late", |spend| spend.terms.not_after = START, "Expired()"),
    ];
    for (what, spoil, error) in faults {
        let mut spend = good.clone();
        spoil(&mut spend);
        match world.send(STRANGER, "exit", &spend.words()) {
            Err(failure) => assert_eq!(failure, Failure::Reverted(keccak256(error)[..4].to_vec()), "{what}: {error}"),
            Ok(_) => panic!("{what}: accepted"),
        }
    }
    // It is no reservation, so nobody can settle it for less and no signature opens it again.
    world.reserve(&good).unwrap_err().is("SettleKeyMissing()");
    world.send(STRANGER, "exit", &good.words()).unwrap();
    world.settle_signed(&good, 0, [word(0), word(0), word(0)]).unwrap_err().is("SpendEnded()");
    world.chain.now = NOT_AFTER + GRACE_SECS + 1;
    world.void(&good).unwrap_err().is("SpendEnded()");
    assert_eq!((world.tokens(account(HOLDER)), world.totals()), (400 * UNIT, [600, 0, 0]));
}
