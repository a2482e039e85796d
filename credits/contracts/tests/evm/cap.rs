//! What the contract holds at most, and that nothing takes more than is there.

use std::collections::BTreeSet;

use credits::Credits;

use crate::chain::{START, account, number, word};
use crate::world::{DEPOSITOR, Guardian, PAYEE, Purse, STRANGER, Terms, UNIT, World, address_word};

const MAX: u64 = Credits::MAX.get();
/// So often all credits go in and out that what was ever minted is no 64-bit number.
const CYCLES: u64 = 2_050;
const NOT_AFTER: u64 = START + 1_000;
const HOLDER: u8 = 0x44;

/// The number and the rho of the only note of a deposit.
fn minted(world: &mut World, value: u64) -> (u64, Vec<u8>) {
    let done = world.deposit(&[[word(1), word(value), word(2)]]).unwrap();
    let (topics, data) = done.event("Minted(uint64,uint64,uint256,uint256,uint256,uint64,uint256)");
    (number(topics[0].as_slice()), data[64..96].to_vec())
}

#[test]
fn n36_the_cap_is_on_what_is_outstanding() {
    let mut world = World::credulous();
    world.fund(account(DEPOSITOR), MAX);
    let mut rhos = BTreeSet::new();
    for cycle in 0..CYCLES {
        let (mint_seq, rho) = minted(&mut world, MAX);
        assert_eq!(mint_seq, cycle, "numbers are never used again");
        assert!(rhos.insert(rho), "{cycle}: rho");
        let out = world.made_up(cycle + 1, Terms { c_max: MAX, ..Terms::exit_whole(NOT_AFTER, account(DEPOSITOR)) });
        if cycle % 256 == 0 {
            world.deposit(&[[word(1), word(1), word(2)]]).unwrap_err().is("CapExceeded()");
        }
        world.send(STRANGER, "exit", &out.words()).unwrap();
        assert_eq!(world.totals(), [0; 3]);
    }
    assert!(u128::from(MAX) * u128::from(CYCLES) > u128::from(u64::MAX));
    // What payees hold counts until they claim it, what is reserved as much.
    minted(&mut world, MAX);
    let spend = world.made_up(CYCLES + 1, Terms { c_max: 1_000, ..Terms::new(NOT_AFTER) });
    world.reserve(&spend).unwrap();
    world.deposit(&[[word(1), word(1), word(2)]]).unwrap_err().is("CapExceeded()");
    world.settle(&spend, 600, &Guardian::new(7)).unwrap();
    world.deposit(&[[word(1), word(1), word(2)]]).unwrap_err().is("CapExceeded()");
    assert_eq!(world.totals(), [MAX, 0, 600]);
    world.send(PAYEE, "claim", &[address_word(account(HOLDER))]).unwrap();
    assert_eq!(world.totals(), [MAX - 600, 0, 0]);
    world.deposit(&[[word(1), word(601), word(2)]]).unwrap_err().is("CapExceeded()");
    // The cap is on all notes of a deposit together.
    let halves = [[word(1), word(300), word(2)], [word(1), word(301), word(2)]];
    world.deposit(&halves).unwrap_err().is("CapExceeded()");
    world.deposit(&[halves[0], halves[0]]).unwrap();
    assert_eq!((world.totals(), world.counts()), ([MAX, 0, 0], [CYCLES + 3, 0]));
}

/// This verifier takes proofs that prove nothing, as a broken one would.
#[test]
fn forged_proofs_take_nothing_that_is_reserved_or_owed_nor_more_than_there_is() {
    let mut world = World::credulous();
    minted(&mut world, 100);
    let reserved = world.made_up(1, Terms { c_max: 60, ..Terms::new(NOT_AFTER) });
    world.reserve(&reserved).unwrap();
    let more = world.made_up(2, Terms { c_max: 41, ..Terms::new(NOT_AFTER) });
    world.reserve(&more).unwrap_err().is("AboveOutstanding()");
    for terms in [Terms::exit(NOT_AFTER, account(HOLDER)), Terms::exit_whole(NOT_AFTER, account(HOLDER))] {
        let out = world.made_up(3, Terms { c_max: 41, ..terms });
        world.send(STRANGER, "exit", &out.words()).unwrap_err().is("AboveOutstanding()");
    }
    let out = world.made_up(4, Terms { c_max: 40, ..Terms::exit(NOT_AFTER, account(HOLDER)) });
    world.send(STRANGER, "exit", &out.words()).unwrap();
    world.settle(&reserved, 50, &Guardian::new(7)).unwrap();
    assert_eq!(world.totals(), [60, 0, 50]);
    let out = world.made_up(5, Terms { c_max: 11, ..Terms::exit_whole(NOT_AFTER, account(HOLDER)) });
    world.send(STRANGER, "exit", &out.words()).unwrap_err().is("AboveOutstanding()");
    let more = world.made_up(6, Terms { c_max: 11, ..Terms::new(NOT_AFTER) });
    world.reserve(&more).unwrap_err().is("AboveOutstanding()");
    world.send(PAYEE, "claim", &[address_word(account(HOLDER))]).unwrap();
    let out = world.made_up(7, Terms { c_max: 10, ..Terms::exit_whole(NOT_AFTER, account(HOLDER)) });
    world.send(STRANGER, "exit", &out.words()).unwrap();
    assert_eq!((world.totals(), world.tokens(account(HOLDER))), ([0; 3], 100 * UNIT));
}

/// The dearest note that there can be, with real proofs: the circuit has room for it, and for what is left of it.
#[test]
fn a_note_of_all_credits_is_spent_and_leaves() {
    let mut world = World::new();
    world.fund(account(DEPOSITOR), MAX);
    let mut purse = Purse::new(52);
    purse.deposit(&mut world, &[MAX]);
    let spend = purse.spend(&mut world, MAX, Terms::new(NOT_AFTER));
    world.reserve(&spend).unwrap();
    let done = world.settle(&spend, 1, &Guardian::new(7)).unwrap();
    purse.scan(&done);
    purse.record(&mut world);
    let part = purse.spend(&mut world, 1, Terms::exit(NOT_AFTER, account(HOLDER)));
    let done = world.send(STRANGER, "exit", &part.words()).unwrap();
    purse.scan(&done);
    purse.record(&mut world);
    assert_eq!((purse.balance(), world.totals()), (MAX - 2, [MAX - 1, 0, 1]));
    let rest = purse.spend(&mut world, MAX - 2, Terms::exit_whole(NOT_AFTER, account(HOLDER)));
    world.send(STRANGER, "exit", &rest.words()).unwrap();
    assert_eq!((world.totals(), world.tokens(account(HOLDER))), ([1, 0, 1], (MAX - 1) * UNIT));
}
