//! One note under two reservations: the chain took the first back, and its owner reserved it otherwise. Real proofs, and signatures of an honest
//! guardian for both.

use crate::chain::{START, Word, word};
use crate::stake::{Signed, Stakes};
use crate::world::{Guardian, HOME, Purse, Spend, Terms, World};

const NOT_AFTER: u64 = START + 1_000;
const STAKE: u64 = 5_000;

/// What the owner of a note changes when he reserves it again.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// Other terms: another context.
    TabKey,
    /// The same terms and another successor.
    Successor,
}

/// Two spends of one note, by its owner.
fn two_spends(world: &mut World, change: Change) -> [Spend; 2] {
    let mut purse = Purse::new(70);
    let output = purse.output(1_000);
    let done = world.deposit(&[output]).unwrap();
    let mut twin = Purse::new(70);
    assert_eq!(twin.output(1_000), output);
    purse.scan(&done);
    twin.scan(&done);
    purse.record(world);
    let first = purse.spend(world, 256, Terms::new(NOT_AFTER));
    let mut terms = Terms::new(NOT_AFTER);
    match change {
        Change::TabKey => terms.tab_key = [9; 32],
        // What a wallet draws in between makes its successor another.
        Change::Successor => drop(twin.output(1)),
    }
    let second = twin.spend(world, 256, terms);
    assert_eq!(first.nullifier, second.nullifier);
    [first, second]
}

/// A guardian serves a tab: running totals, the final bill.
fn serve(stakes: &mut Stakes, reservation: [Word; 3], total: u64) -> (Signed, Signed) {
    let guardian = Guardian::new(7);
    (stakes.settlement(&guardian, reservation, total), stakes.bill(&guardian, reservation, total))
}

fn story(change: Change) {
    let mut stakes = Stakes::of(World::new());
    stakes.put(STAKE).unwrap();
    let [first, second] = two_spends(&mut stakes.world, change);
    let before = stakes.world.chain.state();
    let [a, b] = [&first, &second].map(|spend| stakes.world.reservation(spend));
    assert!(a[0] == b[0] && a != b, "{change:?}: one nullifier, two reservations");

    stakes.world.reserve(&first).unwrap();
    let (settled_a, bill_a) = serve(&mut stakes, a, 100);
    stakes.world.chain.reorganise(&before);
    stakes.world.reserve(&second).unwrap();
    let (settled_b, bill_b) = serve(&mut stakes, b, 30);

    // Nothing that it signed contradicts itself, whichever reservation it is said to be about.
    for about in [a, b] {
        for (method, one, other) in [
            ("slashOvercharge", settled_a, bill_b),
            ("slashTwoBills", bill_a, bill_b),
            ("slashTwoBills", bill_b, bill_a),
        ] {
            stakes.slash(method, about, one, other).unwrap_err().is("SignatureInvalid()");
        }
    }
    // What was signed for the first settles nothing of the second.
    let dear = stakes.world.settle_signed(&second, settled_a.0, settled_a.1);
    dear.unwrap_err().is("SettleSignature()");
    stakes.world.settle_signed(&second, settled_b.0, settled_b.1).unwrap();
    assert_eq!(stakes.world.totals(), [1_000, 0, 30]);
    assert_eq!(stakes.staked_tokens(), STAKE);
    // Were both about the second, they would be evidence.
    let (settled, _) = serve(&mut stakes, b, 100);
    stakes.slash("slashOvercharge", b, settled, bill_b).unwrap();
    assert_eq!(stakes.staked_tokens(), 0);
}

#[test]
fn a_note_served_in_two_contexts_over_a_reorganisation_slashes_nobody() {
    story(Change::TabKey);
}

#[test]
fn a_note_served_with_two_successors_over_a_reorganisation_slashes_nobody() {
    story(Change::Successor);
}

/// A chain that forks under an open reservation: each branch is settled by what was signed for it.
#[test]
fn a_reservation_is_settled_on_the_branch_that_was_signed_for() {
    let mut world = World::credulous();
    world.deposit(&[[word(1), word(500), word(2)]]).unwrap();
    let spend = world.made_up(1, Terms { c_max: 256, ..Terms::new(NOT_AFTER) });
    world.reserve(&spend).unwrap();
    let guardian = Guardian::new(7);
    let [home, other] = [HOME, HOME + 1].map(|chain_id| {
        world.chain.fork(chain_id);
        let digest = world.settle_digest(&spend, 9);
        (chain_id, guardian.sign(digest))
    });
    let before = world.chain.state();
    for ((chain_id, theirs), (_, others)) in [(home, other), (other, home)] {
        world.chain.fork(chain_id);
        world.chain.reorganise(&before);
        world.settle_signed(&spend, 9, others).unwrap_err().is("SettleSignature()");
        world.settle_signed(&spend, 9, theirs).unwrap();
        assert_eq!(world.totals(), [500, 0, 9]);
    }
}
