//! Roots that spends are proved under: which are recorded, by whom, for how long they are accepted, and who pays.

use std::collections::BTreeSet;

use credits::note::leaf;
use credits::tree::{ANCHOR_LIFE, ANCHOR_STEP, spent_under};
use credits::{Credits, Fe, Inner, NoteTree};

use crate::chain::{Chain, Contract, START, account, number, word};
use crate::fixture::TestRng;
use crate::primitives::tree;
use crate::world::{Purse, STRANGER, Terms, World};

/// What a level costs that an append completes a node of, at most: a hash of four elements, and a word that may be new.
const LEVEL_GAS: u64 = 45_000;
/// Levels that the last leaf of 64 completes a node of.
const LEVELS_OF_STEP: u64 = 3;

fn append(chain: &mut Chain, contract: Contract, ours: &mut NoteTree, index: u64) -> u64 {
    ours.append(leaf(Inner(Fe::from(index)), Credits::ZERO)).unwrap();
    let done = chain.call(account(1), contract, "append", &[word(index), word(0)]).unwrap();
    assert!(done.logs.is_empty(), "an append records nothing");
    done.gas
}

#[test]
fn n30_recorded_roots_and_anchors_are_accepted_for_a_while() {
    let mut chain = Chain::new();
    let window = 8;
    let contract = tree(&mut chain, window);
    let mut ours = NoteTree::new();
    let (mut roots, mut recorded) = (Vec::new(), BTreeSet::new());
    // When each anchor is recorded: at once, late, last of all, and too late to be one.
    let anchored_at = [(64, 64), (128, 128 + 37), (192, 192 + 63), (320, 320)];
    for index in 0..ANCHOR_STEP * 5 + ANCHOR_LIFE {
        append(&mut chain, contract, &mut ours, index);
        roots.push(*ours.root().as_bytes());
        let len = index + 1;
        // Every fifth root is recorded by a stranger.
        if len % 5 == 0 {
            chain.call(account(9), contract, "recordRoot", &[]).unwrap();
            recorded.insert(len);
        }
        if let Some((under, _)) = anchored_at.into_iter().find(|(_, at)| *at == len) {
            chain.call(account(9), contract, "recordAnchor", &[]).unwrap();
            recorded.insert(under);
        }
        // Asked of the newest two hundred now and then: each call is an EVM's.
        if len % 61 != 0 && len % 64 != 0 {
            continue;
        }
        for (under, root) in (1..).zip(&roots).skip(roots.len().saturating_sub(200)) {
            let following = len - under;
            let lives = following < window || (under % ANCHOR_STEP == 0 && following < ANCHOR_LIFE);
            let accepted = number(&chain.read(contract, "accepts", &[*root])) == 1;
            assert_eq!(accepted, recorded.contains(&under) && lives, "{under} of {len}");
        }
    }
    assert!(!recorded.contains(&256) && recorded.contains(&320));
    assert_eq!(number(&chain.read(contract, "accepts", &[word(5)])), 0);
}

#[test]
fn an_anchor_can_be_recorded_until_the_next_is_due_and_once() {
    let mut chain = Chain::new();
    let contract = tree(&mut chain, 8);
    let mut ours = NoteTree::new();
    let record = |chain: &mut Chain| chain.call(account(9), contract, "recordAnchor", &[]).unwrap();
    assert!(record(&mut chain).logs.is_empty(), "there is none in an empty tree");
    let mut anchors = vec![*ours.root().as_bytes()];
    // Four steps complete a node of the level above those that a step completes, sixteen one more.
    for index in 0..17 * ANCHOR_STEP {
        append(&mut chain, contract, &mut ours, index);
        let len = index + 1;
        if len % ANCHOR_STEP == 0 {
            anchors.push(*ours.root().as_bytes());
        }
        let (newest, offset) = (anchors.len() - 1, len % ANCHOR_STEP);
        // Each anchor at another moment of its time, twice.
        if newest > 0 && offset == u64::try_from(newest * 4 - 1).unwrap() % ANCHOR_STEP {
            let (topics, data) = record(&mut chain).event("RootRecorded(uint256,uint64)");
            assert_eq!((topics[0].0, number(&data)), (anchors[newest], len - offset));
            assert_eq!(number(&chain.read(contract, "anchored", &[])), len - offset);
            let again = record(&mut chain);
            assert!(again.logs.is_empty() && again.gas < LEVEL_GAS, "{}: hashed for nothing", again.gas);
        }
    }
    // The root over all leaves is the anchor when they are a multiple of the step, however it is recorded.
    let done = chain.call(account(9), contract, "recordRoot", &[]).unwrap();
    assert_eq!(number(&done.event("RootRecorded(uint256,uint64)").1), 17 * ANCHOR_STEP);
    let again = chain.call(account(9), contract, "recordRoot", &[]).unwrap();
    assert!(again.logs.is_empty() && again.output == done.output, "it is answered, and recorded once");
    assert!(record(&mut chain).logs.is_empty());
    assert_eq!(number(&chain.read(contract, "anchored", &[])), 17 * ANCHOR_STEP);
}

/// Whose append is the 64th is for an adversary to choose: it costs three hashes more than most, not a root.
#[test]
fn no_append_pays_for_an_anchor() {
    let mut chain = Chain::new();
    let contract = tree(&mut chain, 8);
    let mut ours = NoteTree::new();
    let gas: Vec<u64> =
        (0..2 * ANCHOR_STEP).map(|index| append(&mut chain, contract, &mut ours, index)).skip(64).collect();
    let (least, most) = (gas.iter().min().unwrap(), gas.iter().max().unwrap());
    println!("an append: {least} to {most} gas");
    assert_eq!(gas.last(), Some(most), "the 64th is the dearest");
    assert!(most - least <= LEVELS_OF_STEP * LEVEL_GAS, "{least} {most}");
    // Recording is dearer than that, the root over all leaves more than the anchor.
    append(&mut chain, contract, &mut ours, 2 * ANCHOR_STEP);
    let [root, anchor] =
        ["recordRoot", "recordAnchor"].map(|method| chain.call(account(9), contract, method, &[]).unwrap().gas);
    assert!(root > anchor && anchor > most + 4 * LEVEL_GAS, "{root} {anchor}");
}

/// Wallets' rule (`credits::tree::spent_under`) holds on the contract: notes that the newest anchor has are proved under it, however many follow.
#[test]
fn n30_anchors_are_shared_on_an_evm() {
    let mut world = World::new();
    let mut purse = Purse::new(30);
    let mut strangers = TestRng::new(31);
    let own = purse.output(100);
    let done = world.deposit(&[own]).unwrap();
    purse.scan(&done);
    for _ in 0..9 {
        let others = [(); 8].map(|()| [*strangers.fe().as_bytes(), word(5), *strangers.fe().as_bytes()]);
        let done = world.deposit(&others).unwrap();
        purse.scan(&done);
    }
    let young = purse.output(50);
    let done = world.deposit(&[young]).unwrap();
    purse.scan(&done);
    assert_eq!((purse.tree.len(), spent_under(74, 0), spent_under(74, 73)), (74, 64, 74));
    let terms = Terms::new(START + 1_000);
    let old = purse.spend(&mut world, 64, terms.clone());
    world.reserve(&old).unwrap_err().is("RootUnknown()");
    purse.record_anchor(&mut world);
    world.reserve(&old).unwrap();
    let young = purse.spend(&mut world, 32, terms);
    assert_ne!(young.root, old.root);
    world.reserve(&young).unwrap_err().is("RootUnknown()");
    purse.record(&mut world);
    world.send(STRANGER, "reserve", &young.words()).unwrap();
}
