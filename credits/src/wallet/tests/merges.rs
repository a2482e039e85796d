//! Merges: what becomes of two notes, whoever dies or comes first.

use super::*;
use crate::bytes::Bytes32;
use crate::entry::LogEntry;
use crate::note::{Leaf, Nullifier};
use crate::params::setup_merge;

fn merge(ledger: &mut FakeLedger, merge: &PreparedMerge) {
    ledger.merge(&merge.public).unwrap();
}

fn statuses(wallet: &Wallet) -> Vec<(u64, bool)> {
    let notes = wallet.state().notes().iter();
    notes.map(|owned| (owned.note.balance().unwrap().get(), owned.status == NoteStatus::Free)).collect()
}

#[test]
fn two_notes_become_one_that_pays() {
    let mut ledger = FakeLedger::new();
    let mut wallet = funded(&mut ledger, 1_000, 4);
    let fragmented = wallet.prepare_spend(credits(600), inputs(&ledger, 500)).unwrap_err();
    assert_eq!(fragmented.code(), "wallet.fragmented");

    let needed = Some(credits(600));
    let mut rounds = 0;
    while let Some(prepared) = wallet.prepare_merge(needed).unwrap() {
        assert_eq!(amounts(wallet.balance()).iter().sum::<u64>(), 1_000);
        let [first, second] = prepared.public.nullifiers;
        assert!(first < second, "their order tells nothing");
        merge(&mut ledger, &prepared);
        ledger.sync(&mut wallet);
        assert_eq!(amounts(wallet.balance()), [1_000, 0, 0]);
        rounds += 1;
    }
    // 250 + 250, then 500 + 250.
    assert_eq!(rounds, 2);
    assert_eq!(statuses(&wallet), [(250, true), (750, true)]);
    let spend = wallet.prepare_spend(credits(600), inputs(&ledger, 500)).unwrap();
    ledger.reserve(&spend).unwrap();
    ledger.settle(spend.public.nullifier, credits(1));
    ledger.sync(&mut wallet);
    assert_eq!(amounts(wallet.balance()), [999, 0, 0]);

    // What is merged without an amount is everything.
    while let Some(prepared) = wallet.prepare_merge(None).unwrap() {
        merge(&mut ledger, &prepared);
        ledger.sync(&mut wallet);
    }
    assert_eq!(statuses(&wallet), [(999, true)]);
    let merged = wallet.history().iter().filter_map(|item| match item {
        HistoryItem::Merge(item) => Some(item.value.get()),
        HistoryItem::Deposit(_) | HistoryItem::Claim(_) | HistoryItem::Spend(_) => None,
    });
    assert_eq!(merged.collect::<Vec<_>>(), [500, 750, 999]);

    // The seed alone finds it.
    let mut restored = Wallet::new(WalletSeed::from_bytes(SEED), &ledger.info());
    ledger.sync(&mut restored);
    assert_eq!(restored.state().notes(), wallet.state().notes());
}

#[test]
fn merges_of_spent_and_merged_notes_are_provable() {
    let keys = setup_merge(&mut TestRng::new(71)).unwrap();
    let mut ledger = FakeLedger::new();
    let mut wallet = funded(&mut ledger, 1_000, 2);
    let spend = wallet.prepare_spend(credits(128), inputs(&ledger, 500)).unwrap();
    ledger.reserve(&spend).unwrap();
    ledger.settle(spend.public.nullifier, credits(1));
    ledger.sync(&mut wallet);
    let prepared = wallet.prepare_merge(None).unwrap().unwrap();
    let proof = crate::merge::prove_merge(&keys, &prepared.public, &prepared.witness, &mut TestRng::new(72)).unwrap();
    assert_eq!(keys.verifying().verify(&prepared.public, &proof), Ok(()));
    let request = prepared.request(proof);
    assert_eq!(request.public(prepared.public.ctx), prepared.public);
}

#[test]
fn notes_that_the_newest_anchor_has_are_merged_first_and_under_it() {
    let mut ledger = FakeLedger::new();
    let mut wallet = funded(&mut ledger, 200, 2);
    // Notes of others up to the anchor, then a smaller note of the wallet.
    let anchor = crate::tree::ANCHOR_STEP;
    let others = (2..anchor).map(|lane| MintOutput {
        pk: crate::note::SpendKey::from_secret(crate::Fe::from(9)).public_key(lane),
        value: credits(1),
        b: crate::Fe::from(lane),
    });
    ledger.redeem(&others.collect::<Vec<_>>());
    let root = ledger.checkpoint().note_root;
    let young = wallet.deposit_outputs(credits(1), 1).unwrap();
    ledger.redeem(&young);
    ledger.sync(&mut wallet);
    let prepared = wallet.prepare_merge(None).unwrap().unwrap();
    assert_eq!(prepared.public.root, root);
    merge(&mut ledger, &prepared);
    ledger.sync(&mut wallet);
    assert_eq!(statuses(&wallet), [(1, true), (200, true)]);
    let prepared = wallet.prepare_merge(None).unwrap().unwrap();
    assert_eq!(prepared.public.root, ledger.checkpoint().note_root);
}

#[test]
fn a_merge_that_was_cut_off_is_sent_again_or_given_up() {
    let mut ledger = FakeLedger::new();
    let mut wallet = funded(&mut ledger, 1_000, 3);
    let prepared = wallet.prepare_merge(None).unwrap().unwrap();
    let stored = wallet.state().clone();
    assert_eq!(amounts(wallet.balance()), [334, 0, 666]);

    // Its notes are not picked for anything else.
    assert_eq!(wallet.prepare_merge(None).unwrap().map(|merge| merge.public.nullifiers), None);
    assert_eq!(
        wallet.prepare_spend(credits(335), inputs(&ledger, 500)).unwrap_err().code(),
        "wallet.insufficient_balance"
    );

    let mut again = Wallet::from_state(WalletSeed::from_bytes(SEED), stored).unwrap();
    let first = again.merging().next().unwrap();
    assert_eq!(again.prepared_merge(first).unwrap().public, prepared.public);
    again.abandon_merge(first);
    assert_eq!(again.merging().count(), 0);
    assert_eq!(amounts(again.balance()), [1_000, 0, 0]);
    assert_eq!(again.prepared_merge(first).unwrap_err().code(), "wallet.not_pending");

    // It arrives all the same.
    merge(&mut ledger, &prepared);
    ledger.sync(&mut again);
    assert_eq!(statuses(&again), [(334, true), (666, true)]);
}

#[test]
fn an_abandoned_merge_and_a_spend_of_one_of_its_notes_race() {
    for merge_wins in [false, true] {
        let mut ledger = FakeLedger::new();
        let mut wallet = funded(&mut ledger, 1_000, 2);
        let prepared = wallet.prepare_merge(None).unwrap().unwrap();
        wallet.abandon_merge(prepared.public.nullifiers[0]);
        let spend = wallet.prepare_spend(credits(100), inputs(&ledger, 500)).unwrap();
        if merge_wins {
            merge(&mut ledger, &prepared);
            assert_eq!(ledger.reserve(&spend), Err("credits.spend_conflict"));
            ledger.sync(&mut wallet);
            assert_eq!(amounts(wallet.balance()), [1_000, 0, 0]);
            let HistoryItem::Spend(item) = &wallet.history()[2] else { panic!("{:?}", wallet.history()) };
            assert_eq!(item.progress, SpendProgress::Abandoned);
        } else {
            ledger.reserve(&spend).unwrap();
            assert_eq!(ledger.merge(&prepared.public), Err("credits.spend_conflict"));
            ledger.sync(&mut wallet);
            assert_eq!(amounts(wallet.balance()), [500, 100, 400]);
        }
    }
}

#[test]
fn another_device_takes_a_note_out_of_a_merge() {
    let mut ledger = FakeLedger::new();
    let mut wallet = funded(&mut ledger, 900, 3);
    let mut other = wallet.clone();
    let prepared = wallet.prepare_merge(None).unwrap().unwrap();

    // The other merges one of them with the third note, and spends nothing.
    let spend = other.prepare_spend(credits(300), inputs(&ledger, 500)).unwrap();
    ledger.reserve(&spend).unwrap();
    assert!(prepared.public.nullifiers.contains(&spend.public.nullifier));
    assert_eq!(ledger.merge(&prepared.public), Err("credits.spend_conflict"));
    ledger.sync(&mut wallet);
    assert_eq!(wallet.merging().count(), 0);
    assert_eq!(amounts(wallet.balance()), [600, 300, 0]);

    // Two merges that share a note.
    ledger.sync(&mut other);
    ledger.settle(spend.public.nullifier, credits(100));
    ledger.sync(&mut wallet);
    ledger.sync(&mut other);
    let smallest = wallet.prepare_merge(None).unwrap().unwrap();
    let largest = other.prepare_merge(Some(credits(600))).unwrap().unwrap();
    let shared = |nullifier: &Nullifier| largest.public.nullifiers.contains(nullifier);
    assert_eq!(smallest.public.nullifiers.iter().filter(|nullifier| shared(nullifier)).count(), 1);
    merge(&mut ledger, &largest);
    ledger.sync(&mut wallet);
    ledger.sync(&mut other);
    assert_eq!(wallet.state().notes(), other.state().notes());
    assert_eq!(amounts(wallet.balance()), [800, 0, 0]);
}

#[test]
fn merges_that_cannot_be_prepared_are_refused() {
    let mut ledger = FakeLedger::new();
    let mut wallet = funded(&mut ledger, 100, 2);
    assert_eq!(wallet.prepare_merge(Some(credits(101))).unwrap_err().code(), "wallet.insufficient_balance");
    assert!(wallet.prepare_merge(Some(credits(50))).unwrap().is_none());
    let mut behind = wallet.clone();
    ledger.redeem(&[]);
    let outputs = behind.deposit_outputs(credits(1), 1).unwrap();
    ledger.redeem(&outputs);
    behind.observe(&ledger.checkpoint()).unwrap();
    assert_eq!(behind.prepare_merge(None).unwrap_err().code(), "wallet.not_synced");

    let mut info = ledger.info();
    info.merge = None;
    info.ledger_id = crate::checkpoint::ledger_id(info.ledger_key, info.vk_digest, None);
    let mut without = Wallet::new(WalletSeed::from_bytes(SEED), &info);
    assert_eq!(without.prepare_merge(None).unwrap_err().code(), "wallet.merge_not_offered");
    // The ledger's id has the key of its merges in it.
    assert_ne!(info.ledger_id, ledger.info().ledger_id);
    let unlike = Some(Bytes32([1; 32]));
    assert_ne!(info.ledger_id, crate::checkpoint::ledger_id(info.ledger_key, info.vk_digest, unlike));
}

#[test]
fn merges_that_break_a_rule_are_refused_by_everyone() {
    let mut ledger = FakeLedger::new();
    let mut wallet = funded(&mut ledger, 1_000, 3);
    let prepared = wallet.prepare_merge(None).unwrap().unwrap();
    let other = wallet.state().notes().iter().find(|owned| owned.status == NoteStatus::Free).unwrap().nullifier;
    ledger.merge(&prepared.public).unwrap();
    type Fault<'a> = (&'a str, &'a dyn Fn(&mut crate::MergeEntry), EntryFault);
    let faults: [Fault<'_>; 6] = [
        ("one note twice", &|merge| merge.nullifiers[1] = merge.nullifiers[0], EntryFault::SpendRepeated),
        ("another leaf", &|merge| merge.leaf = Leaf(crate::Fe::from(1)), EntryFault::Leaf),
        ("another position", &|merge| merge.leaf_index += 1, EntryFault::LeafIndex { expected: 3, got: 4 }),
        ("a note of others", &|merge| merge.nullifiers[1] = Nullifier(crate::Fe::from(5)), EntryFault::Successor),
        ("another note of the wallet", &|merge| merge.nullifiers[1] = other, EntryFault::Successor),
        ("the other order", &|merge| merge.nullifiers.swap(0, 1), EntryFault::Successor),
    ];
    for (name, fault, expected) in faults {
        let mut bad = ledger.clone();
        let Some(LogEntry::Merge(mut entry)) = bad.pop() else { panic!("no merge") };
        fault(&mut entry);
        bad.push(LogEntry::Merge(entry));
        let mut reader = wallet.clone();
        let page = bad.page(reader.next_entry(), 10);
        let refused = reader.apply_page(&page).unwrap_err();
        assert_eq!(refused, WalletError::EntryInvalid { index: 3, fault: expected }, "{name}");
        assert_eq!(reader.state().notes(), wallet.state().notes());
    }
    // A note that is reserved cannot be merged.
    let mut reserved = FakeLedger::new();
    let mut wallet = funded(&mut reserved, 1_000, 2);
    let prepared = wallet.clone().prepare_merge(None).unwrap().unwrap();
    let spend = wallet.prepare_spend(credits(10), inputs(&reserved, 500)).unwrap();
    reserved.reserve(&spend).unwrap();
    reserved.merge_anyway(&prepared.public);
    let refused = wallet.apply_page(&reserved.page(wallet.next_entry(), 10)).unwrap_err();
    assert_eq!(refused, WalletError::EntryInvalid { index: 3, fault: EntryFault::SpendRepeated });
}
