//! A tree with hardly a leaf left, and one with none: what is in it leaves.

use credits::note::{Leaf, leaf};
use credits::{Fe, Inner, NoteFrontier};
use revm::primitives::{U256, keccak256};
use serde_json::{json, to_value};

use crate::chain::{Chain, Contract, Done, START, Word, account, number, word};
use crate::fixture::TestRng;
use crate::primitives::tree;
use crate::world::{
    DEPOSITOR, GRACE_SECS, Guardian, PAYEE, Purse, STRANGER, Spend, Terms, UNIT, World, address_word, credits,
};

/// Leaves that the contract's tree has room for.
const LEAVES_MAX: u64 = (1 << 32) - 1;
const LEVELS: u64 = 16;
/// Where the compiler puts the tree's number of leaves, and its incomplete nodes.
const COUNT_SLOT: u64 = 0;
const RESTS_SLOT: u64 = 1;
const NOT_AFTER: u64 = START + 1_000;
const HOLDER: u8 = 0x44;

/// Writes a tree of so many leaves into the contract's storage: as if they had been appended. Its nodes are random; gives the same tree of ours.
fn fill(world: &mut World, len: u64) -> NoteFrontier {
    let mut rng = TestRng::new(50);
    let digit = |level: u64| (len >> (2 * level)) & 3;
    let rests: Vec<Vec<Fe>> = (0..LEVELS).map(|level| (0..digit(level)).map(|_| rng.fe()).collect()).collect();
    world.chain.store(world.tree, word(COUNT_SLOT), word(len));
    for (level, nodes) in (0..).zip(&rests) {
        let base = keccak256([word(level), word(RESTS_SLOT)].concat());
        for (place, node) in (0..).zip(nodes) {
            let slot = U256::from_be_bytes(base.0) + U256::from(place);
            world.chain.store(world.tree, slot.to_be_bytes(), *node.as_bytes());
        }
    }
    let parts = json!({ "len": len, "rests": to_value(rests).unwrap(), "full": null });
    let ours: NoteFrontier = serde_json::from_value(parts).unwrap();
    assert_eq!(number(&world.chain.read(world.tree, "count", &[])), len);
    assert_eq!(world.chain.read(world.tree, "root", &[]), *ours.root().as_bytes());
    ours
}

/// Appends to our tree what a call appended to the contract's.
fn follow(ours: &mut NoteFrontier, inner_next: Word, refund: u64) -> Leaf {
    let made = leaf(Inner::from_bytes(inner_next).unwrap(), credits(refund));
    ours.append(made).unwrap();
    made
}

fn output(value: u64) -> [Word; 3] {
    [word(1), word(value), word(2)]
}

fn minted(done: &Done, contract: Contract) -> Vec<Leaf> {
    let of = |data: &[u8]| Leaf(Fe::from_bytes(data[160..192].try_into().unwrap()).unwrap());
    done.logs.iter().filter(|log| log.address == contract.address).take(2).map(|log| of(&log.data.data)).collect()
}

#[test]
fn a_full_tree_locks_nothing_up() {
    let mut world = World::credulous();
    world.deposit(&[output(1_000)]).unwrap();
    let reserve = |world: &mut World, number| {
        let spend = world.made_up(number, Terms { c_max: 100, ..Terms::new(NOT_AFTER) });
        let answer = world.reserve(&spend);
        (spend, answer)
    };
    let (settled, answer) = reserve(&mut world, 1);
    answer.unwrap();
    // Four leaves are left, one of them for the reservation that is open.
    let mut ours = fill(&mut world, LEAVES_MAX - 4);
    world.deposit(&[output(10); 4]).unwrap_err().is("NoLeafLeft()");
    let done = world.deposit(&[output(10); 2]).unwrap();
    for leaf in minted(&done, world.cloister) {
        ours.append(leaf).unwrap();
    }
    let (voided, answer) = reserve(&mut world, 2);
    answer.unwrap();
    assert_eq!(world.counts(), [3, 2]);

    // Nothing takes the two that are promised.
    world.deposit(&[output(10)]).unwrap_err().is("NoLeafLeft()");
    let (_, answer) = reserve(&mut world, 3);
    answer.unwrap_err().is("NoLeafLeft()");
    let part = world.made_up(4, Terms { c_max: 10, ..Terms::exit(NOT_AFTER, account(HOLDER)) });
    world.send(STRANGER, "exit", &part.words()).unwrap_err().is("NoLeafLeft()");
    // Who repeats himself is answered as ever.
    world.reserve(&voided).unwrap_err().is("SpendRepeated()");
    // A whole note leaves.
    let whole = world.made_up(4, Terms { c_max: 20, ..Terms::exit_whole(NOT_AFTER, account(HOLDER)) });
    world.send(STRANGER, "exit", &whole.words()).unwrap();
    assert_eq!(number(&world.chain.read(world.tree, "count", &[])), LEAVES_MAX - 2);

    // Both reservations end, in the last two leaves.
    let done = world.settle(&settled, 70, &Guardian::new(7)).unwrap();
    let made = follow(&mut ours, settled.terms.inner_next, 30);
    let (_, data) = done.event("Settled(uint256,uint64,uint64,uint64,uint256)");
    assert_eq!(data[64..], [word(LEAVES_MAX - 2), *made.0.as_bytes()].concat());
    world.chain.now = NOT_AFTER + GRACE_SECS + 1;
    world.void(&voided).unwrap();
    follow(&mut ours, voided.terms.inner_next, 100);
    assert_eq!((ours.len(), world.counts()), (LEAVES_MAX, [3, 0]));
    assert_eq!(world.chain.read(world.tree, "root", &[]), *ours.root().as_bytes());

    // The tree is full. All leaves: what was charged, and every note whole.
    let later = world.chain.now + 1_000;
    world.send(PAYEE, "claim", &[address_word(account(HOLDER))]).unwrap();
    world.deposit(&[output(10)]).unwrap_err().is("NoLeafLeft()");
    let spend = world.made_up(5, Terms { c_max: 1, ..Terms::new(later) });
    world.reserve(&spend).unwrap_err().is("NoLeafLeft()");
    for (nullifier, c_max) in [(5, 900), (6, 30)] {
        let whole = world.made_up(nullifier, Terms { c_max, ..Terms::exit_whole(later, account(HOLDER)) });
        world.send(STRANGER, "exit", &whole.words()).unwrap();
    }
    assert_eq!((world.totals(), world.tokens(account(HOLDER))), ([0; 3], 1_020 * UNIT));
    assert_eq!(world.tokens(world.cloister.address), 0);
}

/// It completes a node of every level but the last.
#[test]
fn gas_of_the_dearest_append() {
    let mut world = World::credulous();
    world.deposit(&[output(1_000)]).unwrap();
    let spend = world.made_up(1, Terms { c_max: 100, ..Terms::new(NOT_AFTER) });
    world.reserve(&spend).unwrap();
    let mut ours = fill(&mut world, (1 << 30) - 1);
    let gas = world.settle(&spend, 100, &Guardian::new(7)).unwrap().gas;
    follow(&mut ours, spend.terms.inner_next, 0);
    assert_eq!(world.chain.read(world.tree, "root", &[]), *ours.root().as_bytes());
    let done = world.chain.call(account(9), world.tree, "recordAnchor", &[]).unwrap();
    assert_eq!(done.event("RootRecorded(uint256,uint64)").0[0].0, *ours.root().as_bytes());
    println!("settle whose successor is leaf 2^30: {gas} gas, the most that one can cost");
    crate::gas::is_written("Cloister: settle, at most", gas);
}

/// With real proofs: whether a note leaves whole is for its owner to say.
#[test]
fn a_note_leaves_whole_and_takes_no_leaf() {
    let mut world = World::new();
    let mut purse = Purse::new(51);
    purse.deposit(&mut world, &[700, 300]);
    let whole = purse.spend(&mut world, 700, Terms::exit_whole(NOT_AFTER, account(HOLDER)));
    let part = purse.spend(&mut world, 100, Terms::exit(NOT_AFTER, account(HOLDER)));
    // The other way round neither is what was proved.
    let sheet = |spend: &Spend, other: &Spend| {
        let mut changed = spend.clone();
        changed.terms.price_sheet_digest = other.terms.price_sheet_digest;
        changed
    };
    for changed in [sheet(&whole, &part), sheet(&part, &whole)] {
        world.send(STRANGER, "exit", &changed.words()).unwrap_err().is("ProofInvalid()");
    }
    let mut named = whole.clone();
    named.terms.settle_key = account(DEPOSITOR);
    world.send(STRANGER, "exit", &named.words()).unwrap_err().is("SettleKeyMissing()");
    let done = world.send(STRANGER, "exit", &whole.words()).unwrap();
    let (topics, data) = done.event(&format!("ExitedWhole(uint256,uint256,{})", crate::world::TERMS));
    assert_eq!((topics[0].0, data), (whole.nullifier, [&[whole.root][..], &whole.terms.words()].concat().concat()));
    assert_eq!((number(&world.chain.read(world.tree, "count", &[])), world.totals()), (2, [300, 0, 0]));
    assert_eq!((world.tokens(account(HOLDER)), world.state(whole.nullifier)), (700 * UNIT, 2));
    world.send(STRANGER, "exit", &whole.words()).unwrap_err().is("SpendRepeated()");
    let done = world.send(STRANGER, "exit", &part.words()).unwrap();
    purse.scan(&done);
    assert_eq!(purse.balance(), 200);
}

/// Whatever its owner does.
#[test]
fn the_tree_itself_takes_one_leaf_fewer_than_there_is_room_for() {
    let mut chain = Chain::new();
    let contract = tree(&mut chain, 8);
    chain.store(contract, word(COUNT_SLOT), word(LEAVES_MAX - 1));
    let done = chain.call(account(1), contract, "append", &[word(1), word(0)]).unwrap();
    assert_eq!(done.output[..32], word(LEAVES_MAX - 1));
    chain.call(account(1), contract, "append", &[word(1), word(0)]).unwrap_err().is("TreeFull()");
    assert_eq!(number(&chain.read(contract, "count", &[])), LEAVES_MAX);
}
