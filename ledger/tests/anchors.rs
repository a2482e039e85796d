//! n30: the roots that wallets share. An anchor is accepted on every store whether or not a transaction ended there, for as
//! long as the protocol says, and other roots inside a transaction are not.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use credits::tree::{ANCHOR_LIFE, ANCHOR_STEP};
use credits::{Ledger, LedgerError, NoteTree, RedeemRequest, Root};
use support::*;

/// Most notes of a voucher.
const NOTES: u64 = 8;

/// Redeems a voucher for so many notes, in one transaction.
async fn mint<L: Ledger>(world: &World<L>, number: u8, notes: u64) {
    let outputs = (0..notes).map(|note| output(note, 1)).collect();
    let voucher = world.voucher(number, notes).to_text();
    world.ledger.redeem(RedeemRequest { voucher, outputs }).await.unwrap();
}

/// The root over the first `len` notes.
async fn root_over<L: Ledger>(world: &World<L>, len: u64) -> Root {
    let mut tree = NoteTree::new();
    for entry in world.ledger.log(0, 1000).await.unwrap().entries {
        if let Some((_, leaf)) = entry.appended_note()
            && tree.len() < len
        {
            tree.append(leaf).unwrap();
        }
    }
    assert_eq!(tree.len(), len);
    tree.root()
}

/// Redemptions side by side share transactions: one of them passes more than one anchor.
async fn grow_side_by_side<L: Ledger + 'static>(world: &World<L>, first: u8, count: u8) {
    let redeemed: Vec<_> = (first..first + count)
        .map(|number| {
            let outputs = (0..NOTES).map(|note| output(note, 1)).collect();
            let request = RedeemRequest { voucher: world.voucher(number, NOTES).to_text(), outputs };
            let ledger = std::sync::Arc::clone(&world.ledger);
            tokio::spawn(async move { ledger.redeem(request).await.map(|_| ()) })
        })
        .collect();
    for redeemed in redeemed {
        redeemed.await.unwrap().unwrap();
    }
}

async fn anchors_are_shared<L: Ledger + 'static>(world: World<L>) {
    // The anchor falls into the middle of a transaction.
    mint(&world, 0, 4).await;
    for number in 1..=ANCHOR_STEP / NOTES {
        mint(&world, u8::try_from(number).unwrap(), NOTES).await;
    }
    let len = ANCHOR_STEP + 4;
    assert_eq!(world.ledger.checkpoint(0).await.unwrap().checkpoint.note_count, len);
    let anchor = root_over(&world, ANCHOR_STEP).await;
    let reserve = |root, number| world.ledger.reserve(world.spend_under(root, number, 1));
    reserve(anchor, 1).await.unwrap();
    for beside in [ANCHOR_STEP - 1, ANCHOR_STEP + 1] {
        let root = root_over(&world, beside).await;
        assert_eq!(reserve(root, 2).await.map(|_| ()), Err(LedgerError::RootUnknown), "{beside} notes");
    }
    // Past the ledger's own window, and past the next anchor.
    let mut number = 100;
    let mut grow_to = async |len: u64| {
        while world.ledger.checkpoint(0).await.unwrap().checkpoint.note_count < len {
            mint(&world, number, 1).await;
            number += 1;
        }
    };
    let last = ANCHOR_STEP + ANCHOR_LIFE - 1;
    assert!(last - ANCHOR_STEP > ROOT_WINDOW);
    grow_to(last).await;
    reserve(anchor, 3).await.unwrap();
    reserve(root_over(&world, 2 * ANCHOR_STEP).await, 4).await.unwrap();
    grow_to(last + 1).await;
    assert_eq!(reserve(anchor, 5).await.map(|_| ()), Err(LedgerError::RootUnknown));
    reserve(root_over(&world, 2 * ANCHOR_STEP).await, 6).await.unwrap();

    let len = world.ledger.checkpoint(0).await.unwrap().checkpoint.note_count;
    grow_side_by_side(&world, 20, 24).await;
    let grown = world.ledger.checkpoint(0).await.unwrap().checkpoint.note_count;
    assert_eq!(grown, len + 24 * NOTES);
    let newest = grown - grown % ANCHOR_STEP;
    for (spend, anchor) in (7..).zip([newest - ANCHOR_STEP, newest]) {
        assert!(anchor > len, "it was passed side by side");
        let accepted = reserve(root_over(&world, anchor).await, spend).await;
        assert_eq!(
            accepted.map(|_| ()),
            if grown - anchor < ANCHOR_LIFE { Ok(()) } else { Err(LedgerError::RootUnknown) }
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n30_anchors_are_shared_in_memory() {
    anchors_are_shared(memory().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n30_anchors_are_shared_on_disk() {
    anchors_are_shared(redb().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n30_anchors_are_shared_in_postgres() {
    if let Some(world) = postgres().await {
        anchors_are_shared(world).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n30_anchors_are_shared_over_http() {
    anchors_are_shared(http().await).await;
}
