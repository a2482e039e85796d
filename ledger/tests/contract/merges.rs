//! Two notes become one, at once, once.

use std::collections::BTreeMap;
use std::sync::Arc;

use credits::merkle::verify_inclusion;
use credits::{Credits, Fe, Inner, Ledger, LedgerError, LogEntry, MergeRequest, Nullifier, Root, note};

use super::log::whole_log;
use super::support::*;

/// Notes in a race: each is spent by one contender and merged by two. Half as many merges leave the root recent.
const NOTES: u64 = 14;

fn merge_under(root: Root, first: u64, second: u64) -> MergeRequest {
    MergeRequest {
        root,
        // The nullifiers of the spends with these numbers.
        nullifiers: [first, second].map(|number| Nullifier(Fe::from(1_000 + number))),
        inner_next: Inner(Fe::from(3_000_000 + first * 1_000 + second)),
        proof: good_proof(),
    }
}

async fn merge<L: Ledger>(world: &World<L>, first: u64, second: u64) -> MergeRequest {
    merge_under(world.root().await, first, second)
}

pub(crate) async fn a_merge_makes_one_note_of_two<L: Ledger>(world: World<L>) {
    world.mint(1, 100).await;
    let request = merge(&world, 1, 2).await;
    let answer = world.ledger.merge(request.clone()).await.unwrap();
    let leaf = note::leaf(request.inner_next, Credits::ZERO);
    let entry = &answer.entry;
    assert_eq!(
        (entry.root, entry.nullifiers, entry.inner_next),
        (request.root, request.nullifiers, request.inner_next)
    );
    assert_eq!((entry.leaf, entry.leaf_index, entry.proof), (leaf, 1, request.proof));
    let (hash, at) = (LogEntry::Merge(entry.clone()).leaf_hash(), &answer.checkpoint);
    verify_inclusion(hash, answer.entry_index, at.log_size, &answer.inclusion, &at.log_root).unwrap();
    assert_eq!((at.log_size, at.note_count), (2, 2));
    assert_eq!(whole_log(&world).await.pop(), Some(LogEntry::Merge(entry.clone())));

    // The same again, whatever its root and its proof are by now.
    world.mint(2, 100).await;
    let mut again = request.clone();
    (again.root, again.proof) = (Root(Fe::from(5)), other_good_proof());
    let repeated = world.ledger.merge(again).await.unwrap();
    assert_eq!((repeated.entry, repeated.entry_index), (answer.entry, answer.entry_index));
    assert_eq!(world.log_size().await, 3);
}

pub(crate) async fn a_merged_note_is_spent<L: Ledger>(world: World<L>) {
    world.mint(1, 100).await;
    let request = merge(&world, 1, 2).await;
    world.ledger.merge(request.clone()).await.unwrap();
    for number in [1, 2] {
        let spend = world.spend(number, 10).await;
        assert_eq!(world.ledger.reserve(spend.clone()).await, Err(LedgerError::SpendConflict));
        // There is no spend of it that could be charged.
        assert_eq!(world.ledger.journal(world.journal(&spend, 1)).await, Err(LedgerError::NotFound));
        assert_eq!(world.ledger.settle(world.settle(&spend, 1)).await, Err(LedgerError::NotFound));
    }
    let other = |first, second| merge(&world, first, second);
    for request in [other(2, 1).await, other(1, 3).await, other(3, 2).await] {
        assert_eq!(world.ledger.merge(request).await, Err(LedgerError::SpendConflict));
    }
    let mut elsewhere = request;
    elsewhere.inner_next = Inner(Fe::from(9));
    assert_eq!(world.ledger.merge(elsewhere).await, Err(LedgerError::SpendConflict));

    // Nor is a note merged that is reserved, or was charged.
    let spend = world.spend(4, 10).await;
    world.ledger.reserve(spend.clone()).await.unwrap();
    assert_eq!(world.ledger.merge(other(4, 5).await).await, Err(LedgerError::SpendConflict));
    world.ledger.settle(world.settle(&spend, 1)).await.unwrap();
    assert_eq!(world.ledger.merge(other(5, 4).await).await, Err(LedgerError::SpendConflict));
    world.ledger.merge(other(5, 6).await).await.unwrap();
    assert_eq!(world.log_size().await, 5);
}

pub(crate) async fn n21_a_merge_is_of_two_notes<L: Ledger>(world: World<L>) {
    world.mint(1, 100).await;
    assert_eq!(world.ledger.merge(merge(&world, 1, 1).await).await, Err(LedgerError::MergeOneNote));
    assert_eq!(world.log_size().await, 1);
}

pub(crate) async fn n30_n35_merges_are_under_recent_roots_and_into_new_successors<L: Ledger>(world: World<L>) {
    world.mint(1, 100).await;
    let (old, spend) = (world.root().await, world.spend(1, 10).await);
    let unknown = merge_under(Root(Fe::from(5)), 2, 3);
    assert_eq!(world.ledger.merge(unknown).await, Err(LedgerError::RootUnknown));
    world.ledger.reserve(spend.clone()).await.unwrap();
    let mut taken = merge_under(old, 2, 3);
    taken.inner_next = spend.inner_next;
    assert_eq!(world.ledger.merge(taken).await, Err(LedgerError::InnerReused));
    let good = merge_under(old, 2, 3);
    world.ledger.merge(good.clone()).await.unwrap();
    let mut other = world.spend(4, 10).await;
    other.inner_next = good.inner_next;
    assert_eq!(world.ledger.reserve(other).await, Err(LedgerError::InnerReused));
    // The successor is a note like any other: it makes roots old.
    for number in 0..ROOT_WINDOW {
        world.ledger.merge(merge(&world, 100 + 2 * number, 101 + 2 * number).await).await.unwrap();
    }
    assert_eq!(world.ledger.merge(merge_under(old, 6, 7)).await, Err(LedgerError::RootUnknown));
}

pub(crate) async fn bad_merges_are_refused_and_burn_nothing<L: Ledger>(world: World<L>) {
    world.mint(1, 100).await;
    let mut bad = merge(&world, 1, 2).await;
    bad.proof = bad_proof();
    assert_eq!(world.ledger.merge(bad.clone()).await, Err(LedgerError::ProofInvalid));
    assert_eq!(world.log_size().await, 1);
    bad.proof = good_proof();
    world.ledger.merge(bad).await.unwrap();
}

pub(crate) async fn n31_a_race_of_merges_and_spends_has_one_winner_for_each_note<L: Ledger + 'static>(world: World<L>) {
    world.mint(1, 1_000).await;
    let root = world.root().await;
    let mut contenders = Vec::new();
    for number in 0..NOTES {
        let (ledger, spend) = (Arc::clone(&world.ledger), world.spend_under(root, number, 1));
        contenders.push(tokio::spawn(async move { ledger.reserve(spend).await.map(|_| 1) }));
        let (ledger, merge) = (Arc::clone(&world.ledger), merge_under(root, number, (number + 1) % NOTES));
        contenders.push(tokio::spawn(async move { ledger.merge(merge).await.map(|_| 2) }));
    }
    let mut won = 0;
    for contender in contenders {
        match contender.await.unwrap() {
            Ok(notes) => won += notes,
            Err(error) => assert_eq!(error, LedgerError::SpendConflict),
        }
    }
    let mut spent: BTreeMap<Nullifier, u64> = BTreeMap::new();
    for entry in whole_log(&world).await {
        match entry {
            LogEntry::Reserve(entry) => *spent.entry(entry.nullifier).or_default() += 1,
            LogEntry::Merge(entry) => entry.nullifiers.iter().for_each(|nf| *spent.entry(*nf).or_default() += 1),
            _ => {}
        }
    }
    assert!(spent.values().all(|times| *times == 1), "{spent:?}");
    // Each note was taken by the first that asked for it: none is left over, since its own spend only loses to a merge.
    assert_eq!((won, u64::try_from(spent.len()).unwrap()), (NOTES, NOTES));
}
