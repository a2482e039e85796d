//! Notes are reserved, charged and given back.

use std::collections::BTreeSet;
use std::sync::Arc;

use credits::value::CREDITS_MAX;
use credits::{
    Credits, Fe, Inner, Ledger, LedgerError, LogEntry, Nullifier, ReserveRequest, Root, SettledBy, SigningKey,
    journal_message, note, settle_message,
};

use super::log::{root_after_mint, whole_log};
use super::support::*;

/// Contenders in a race. The store sees them as concurrent calls, whatever their number.
const CONTENDERS: u64 = 1_000;

async fn leaves_of<L: Ledger>(world: &World<L>, spend: &ReserveRequest) -> usize {
    let is_end = |entry: &&LogEntry| match entry {
        LogEntry::Settle(entry) => entry.nullifier == spend.nullifier,
        LogEntry::Void(entry) => entry.nullifier == spend.nullifier,
        _ => false,
    };
    whole_log(world).await.iter().filter(is_end).count()
}

pub(crate) async fn n14_a_spend_must_reserve_something<L: Ledger>(world: World<L>) {
    world.mint(1, 100).await;
    let spend = world.spend(1, 0).await;
    assert_eq!(world.ledger.reserve(spend).await, Err(LedgerError::ReserveZero));
}

pub(crate) async fn n27_deadlines<L: Ledger>(world: World<L>) {
    world.mint(1, 100).await;
    let good = world.spend(1, 10).await;
    let at = |not_after| {
        let mut spend = good.clone();
        spend.context.not_after = not_after;
        world.ledger.reserve(spend)
    };
    for past in [START, START - 1, 0] {
        assert_eq!(at(past).await, Err(LedgerError::Expired));
    }
    for far in [START + TAB_SECS_MAX + 1, u64::MAX] {
        assert_eq!(at(far).await, Err(LedgerError::NotAfterTooFar));
    }
    at(START + 1).await.unwrap();
}

pub(crate) async fn n29_a_spend_for_another_ledger<L: Ledger>(world: World<L>) {
    world.mint(1, 100).await;
    let mut other_ledger = world.spend(1, 10).await;
    other_ledger.context.ledger_id.0[0] ^= 1;
    assert_eq!(world.ledger.reserve(other_ledger).await, Err(LedgerError::LedgerMismatch));
    let mut other_vk = world.spend(1, 10).await;
    other_vk.context.vk_digest.0[0] ^= 1;
    assert_eq!(world.ledger.reserve(other_vk).await, Err(LedgerError::LedgerMismatch));
}

pub(crate) async fn n30_roots_outside_the_window<L: Ledger>(world: World<L>) {
    world.mint(1, 100).await;
    let old = world.root().await;
    for number in 2..=u8::try_from(ROOT_WINDOW).unwrap() {
        world.mint(number, 100).await;
    }
    // The old root is now the last of the window.
    world.ledger.reserve(world.spend_under(old, 1, 10)).await.unwrap();
    let unknown = world.spend_under(Root(Fe::from(77)), 2, 10);
    assert_eq!(world.ledger.reserve(unknown).await, Err(LedgerError::RootUnknown));
    world.mint(100, 100).await;
    assert_eq!(world.ledger.reserve(world.spend_under(old, 3, 10)).await, Err(LedgerError::RootUnknown));
    world.ledger.reserve(world.spend(3, 10).await).await.unwrap();
    // One that is still to come is none yet.
    let future = root_after_mint(&world, 100).await;
    let early = world.spend_under(future, 4, 10);
    assert_eq!(world.ledger.reserve(early.clone()).await, Err(LedgerError::RootUnknown));
    world.mint(101, 100).await;
    assert_eq!(world.root().await, future);
    world.ledger.reserve(early).await.unwrap();
}

pub(crate) async fn n31_a_race_for_one_nullifier_has_one_winner<L: Ledger + 'static>(world: World<L>) {
    world.mint(1, 100).await;
    let (root, size) = (world.root().await, world.log_size().await);
    let contenders: Vec<_> = (0..CONTENDERS)
        .map(|number| {
            let mut spend = world.spend_under(root, number, 10);
            spend.nullifier = Nullifier(Fe::from(5));
            let ledger = Arc::clone(&world.ledger);
            tokio::spawn(async move { ledger.reserve(spend).await.map(|reservation| reservation.entry_index) })
        })
        .collect();
    let mut winners = 0;
    for contender in contenders {
        match contender.await.unwrap() {
            Ok(_) => winners += 1,
            // The service turns callers away when too many proofs are pending; they would try again.
            Err(error) => {
                assert!(matches!(error, LedgerError::SpendConflict | LedgerError::Unavailable), "{error}")
            }
        }
    }
    assert_eq!(winners, 1);
    assert_eq!(world.log_size().await, size + 1);
}

pub(crate) async fn n32_a_repeat_is_answered_as_before<L: Ledger + 'static>(world: World<L>) {
    world.mint(1, 100).await;
    let spend = world.spend(1, 10).await;
    let repeats: Vec<_> = (0..20)
        .map(|_| {
            let (ledger, spend) = (Arc::clone(&world.ledger), spend.clone());
            tokio::spawn(async move { ledger.reserve(spend).await.unwrap().entry_index })
        })
        .collect();
    let mut positions = BTreeSet::new();
    for repeat in repeats {
        positions.insert(repeat.await.unwrap());
    }
    assert_eq!(positions.len(), 1);
    world.ledger.settle(world.settle(&spend, 4)).await.unwrap();
    world.clock.advance(10 * TAB_SECS_MAX);
    let size = world.log_size().await;
    let mut later = spend.clone();
    later.proof = other_good_proof();
    later.root = Root(Fe::from(77));
    let reservation = world.ledger.reserve(later).await.unwrap();
    assert!(positions.contains(&reservation.entry_index));
    let (first, again) = (world.ledger.settle(world.settle(&spend, 4)), world.ledger.settle(world.settle(&spend, 4)));
    let (first, again) = (first.await.unwrap(), again.await.unwrap());
    assert_eq!((first.leaf, first.leaf_index, first.entry_index), (again.leaf, again.leaf_index, again.entry_index));
    world.ledger.journal(world.journal(&spend, 4)).await.unwrap_err();
    assert_eq!(world.log_size().await, size);
}

pub(crate) async fn n33_another_spend_of_the_nullifier_is_refused<L: Ledger>(world: World<L>) {
    world.mint(1, 100).await;
    let spend = world.spend(1, 10).await;
    world.ledger.reserve(spend.clone()).await.unwrap();
    world.ledger.settle(world.settle(&spend, 4)).await.unwrap();
    let size = world.log_size().await;
    let changes: [fn(&mut ReserveRequest); 9] = [
        |r| r.inner_next = Inner(Fe::from(9)),
        |r| r.c_max = credits(11),
        |r| r.context.keyset_digest.0[0] ^= 1,
        |r| r.context.settle_key.0[0] ^= 1,
        |r| r.context.payee.0[0] ^= 1,
        |r| r.context.price_sheet_digest.0[0] ^= 1,
        |r| r.context.not_after -= 1,
        |r| r.context.tab_key.0[0] ^= 1,
        |r| r.context.ledger_id.0[0] ^= 1,
    ];
    for (row, change) in changes.iter().enumerate() {
        let mut other = spend.clone();
        change(&mut other);
        assert_eq!(world.ledger.reserve(other).await, Err(LedgerError::SpendConflict), "row {row}");
    }
    assert_eq!(world.log_size().await, size);
    assert_eq!(leaves_of(&world, &spend).await, 1);
}

pub(crate) async fn n34_an_outcome_is_final<L: Ledger>(world: World<L>) {
    world.mint(1, 100).await;
    let settled = world.spend(1, 10).await;
    world.ledger.reserve(settled.clone()).await.unwrap();
    world.ledger.settle(world.settle(&settled, 4)).await.unwrap();
    let voided = world.spend(2, 10).await;
    world.ledger.reserve(voided.clone()).await.unwrap();
    world.clock.advance(TAB_SECS_MAX + GRACE_SECS + 1);
    // Void on the way, because it is overdue; then settling at nothing is what happened, anything else is not.
    let response = world.ledger.settle(world.settle(&voided, 0)).await.unwrap();
    assert_eq!((response.charge, response.refund), (Credits::ZERO, credits(10)));
    for (spend, charge) in [(&settled, 5), (&settled, 0), (&settled, 10), (&voided, 1), (&voided, 10)] {
        let refused = world.ledger.settle(world.settle(spend, charge)).await;
        assert_eq!(refused, Err(LedgerError::SettleConflict), "charge {charge}");
    }
    for spend in [&settled, &voided] {
        assert_eq!(world.ledger.journal(world.journal(spend, 4)).await, Err(LedgerError::JournalFinalised));
        assert_eq!(leaves_of(&world, spend).await, 1);
    }
}

pub(crate) async fn n35_a_successor_is_used_once<L: Ledger>(world: World<L>) {
    world.mint(1, 100).await;
    let first = world.spend(1, 10).await;
    world.ledger.reserve(first.clone()).await.unwrap();
    let mut second = world.spend(2, 10).await;
    second.inner_next = first.inner_next;
    assert_eq!(world.ledger.reserve(second.clone()).await, Err(LedgerError::InnerReused));
    world.ledger.settle(world.settle(&first, 10)).await.unwrap();
    assert_eq!(world.ledger.reserve(second).await, Err(LedgerError::InnerReused));
}

pub(crate) async fn n38_a_charge_is_never_above_the_reserve<L: Ledger>(world: World<L>) {
    world.mint(1, 100).await;
    let spend = world.spend(1, 10).await;
    world.ledger.reserve(spend.clone()).await.unwrap();
    assert_eq!(world.ledger.journal(world.journal(&spend, 11)).await, Err(LedgerError::JournalAboveReserve));
    for charge in [11, CREDITS_MAX] {
        let refused = world.ledger.settle(world.settle(&spend, charge)).await;
        assert_eq!(refused, Err(LedgerError::SettleAboveReserve));
    }
    let response = world.ledger.settle(world.settle(&spend, 10)).await.unwrap();
    assert_eq!(response.refund, Credits::ZERO);
    assert_eq!(response.leaf, note::leaf(spend.inner_next, Credits::ZERO));
}

pub(crate) async fn bad_proofs_are_refused_and_burn_nothing<L: Ledger>(world: World<L>) {
    world.mint(1, 100).await;
    let good = world.spend(1, 10).await;
    let mut bad = good.clone();
    bad.proof = bad_proof();
    assert_eq!(world.ledger.reserve(bad.clone()).await, Err(LedgerError::ProofInvalid));
    assert_eq!(world.log_size().await, 1);
    world.ledger.reserve(good).await.unwrap();
    // The spend is recorded: the proof of a repeat is not looked at.
    world.ledger.reserve(bad).await.unwrap();
}

pub(crate) async fn totals_are_journalled_in_order<L: Ledger>(world: World<L>) {
    world.mint(1, 100).await;
    let spend = world.spend(1, 10).await;
    world.ledger.reserve(spend.clone()).await.unwrap();
    let size = world.log_size().await;
    for (total, expected) in [(3, Ok(())), (3, Ok(())), (2, Err(LedgerError::JournalDecreasing)), (7, Ok(()))] {
        assert_eq!(world.ledger.journal(world.journal(&spend, total)).await, expected, "total {total}");
    }
    assert_eq!(world.log_size().await, size + 2);
    assert_eq!(world.ledger.settle(world.settle(&spend, 6)).await, Err(LedgerError::SettleBelowJournal));
    let response = world.ledger.settle(world.settle(&spend, 7)).await.unwrap();
    assert_eq!((response.charge, response.refund), (credits(7), credits(3)));
}

pub(crate) async fn signatures_are_the_settle_keys<L: Ledger>(world: World<L>) {
    world.mint(1, 100).await;
    let spend = world.spend(1, 10).await;
    world.ledger.reserve(spend.clone()).await.unwrap();
    let stranger = SigningKey::from_seed(&[9; 32]);
    let id = world.info.ledger_id;
    let mut journal = world.journal(&spend, 5);
    journal.signature = stranger.sign(&journal_message(&id, &spend.nullifier, credits(5)));
    assert_eq!(world.ledger.journal(journal.clone()).await, Err(LedgerError::JournalSignature));
    journal.signature = settle_key().sign(&settle_message(&id, &spend.nullifier, credits(5)));
    assert_eq!(world.ledger.journal(journal).await, Err(LedgerError::JournalSignature));
    let mut settle = world.settle(&spend, 5);
    settle.signature = stranger.sign(&settle_message(&id, &spend.nullifier, credits(5)));
    assert_eq!(world.ledger.settle(settle.clone()).await, Err(LedgerError::SettleSignature));
    settle.signature = settle_key().sign(&journal_message(&id, &spend.nullifier, credits(5)));
    assert_eq!(world.ledger.settle(settle).await, Err(LedgerError::SettleSignature));
    assert_eq!(world.log_size().await, 2);
}

pub(crate) async fn overdue_spends_are_ended_at_their_last_total<L: Ledger>(world: World<L>) {
    world.mint(1, 100).await;
    let spend = world.spend(1, 10).await;
    world.ledger.reserve(spend.clone()).await.unwrap();
    world.ledger.journal(world.journal(&spend, 6)).await.unwrap();
    world.clock.advance(TAB_SECS_MAX + GRACE_SECS);
    // The last second of grace is the guardian's.
    world.ledger.journal(world.journal(&spend, 7)).await.unwrap();
    world.clock.advance(1);
    assert_eq!(world.ledger.journal(world.journal(&spend, 8)).await, Err(LedgerError::JournalFinalised));
    let response = world.ledger.settle(world.settle(&spend, 7)).await.unwrap();
    assert_eq!((response.charge, response.refund), (credits(7), credits(3)));
    assert_eq!(world.ledger.settle(world.settle(&spend, 8)).await, Err(LedgerError::SettleConflict));
    let Some(LogEntry::Settle(entry)) = whole_log(&world).await.pop() else { panic!("the log ends with a settlement") };
    assert_eq!((entry.by, entry.signature), (SettledBy::Ledger, None));
}

pub(crate) async fn overdue_spends_without_a_total_are_void<L: Ledger>(world: World<L>) {
    world.mint(1, 100).await;
    let spend = world.spend(1, 10).await;
    world.ledger.reserve(spend.clone()).await.unwrap();
    world.clock.advance(TAB_SECS_MAX + GRACE_SECS + 1);
    assert_eq!(world.ledger.settle(world.settle(&spend, 1)).await, Err(LedgerError::SettleConflict));
    let Some(LogEntry::Void(entry)) = whole_log(&world).await.pop() else { panic!("the log ends with a void") };
    assert_eq!(entry.refund, credits(10));
    assert_eq!(entry.leaf, note::leaf(spend.inner_next, credits(10)));
}

pub(crate) async fn refused_operations_do_not_disturb_their_neighbours<L: Ledger + 'static>(world: World<L>) {
    world.mint(1, 1000).await;
    let root = world.root().await;
    let rival = world.spend_under(root, 1_000, 10);
    world.ledger.reserve(rival.clone()).await.unwrap();
    let spends: Vec<_> = (0..60).map(|number| world.spend_under(root, number, 10)).collect();
    let is_good = |number: usize| number.is_multiple_of(2);
    let mut reserves = Vec::new();
    for (number, mut spend) in spends.clone().into_iter().enumerate() {
        if !is_good(number) {
            spend.inner_next = rival.inner_next;
        }
        let ledger = Arc::clone(&world.ledger);
        reserves.push(tokio::spawn(async move { ledger.reserve(spend).await.map(|_| ()) }));
    }
    for (number, reserve) in reserves.into_iter().enumerate() {
        let expected = if is_good(number) { Ok(()) } else { Err(LedgerError::InnerReused) };
        assert_eq!(reserve.await.unwrap(), expected, "reserve {number}");
    }
    let mut settles = Vec::new();
    for spend in &spends {
        let (ledger, settle) = (Arc::clone(&world.ledger), world.settle(spend, 3));
        settles.push(tokio::spawn(async move { ledger.settle(settle).await.map(|_| ()) }));
    }
    for (number, settle) in settles.into_iter().enumerate() {
        let expected = if is_good(number) { Ok(()) } else { Err(LedgerError::NotFound) };
        assert_eq!(settle.await.unwrap(), expected, "settle {number}");
    }
    // 1 mint, 1 rival, 30 reservations, 30 settlements.
    assert_eq!(world.log_size().await, 62);
}
