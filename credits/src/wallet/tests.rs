//! The wallet against a small ledger in memory: what it recognises, what it refuses, and that no schedule loses credits.

mod fake;
mod linking;
mod merges;
mod refusals;
mod schedule;
mod withdrawals;

use self::fake::{FakeLedger, SEED, inputs};
use super::*;
use crate::fixture::{TestRng, credits, params};
use crate::ledger::ReserveRequest;
use crate::spend::prove;

fn amounts(balance: Balance) -> [u64; 3] {
    [balance.spendable, balance.reserved, balance.pending].map(Credits::get)
}

/// A fresh wallet that deposited `value` in `notes` notes and is in step.
fn funded(ledger: &mut FakeLedger, value: u64, notes: u32) -> Wallet {
    let mut wallet = Wallet::new(WalletSeed::from_bytes(SEED), &ledger.info());
    let outputs = wallet.deposit_outputs(credits(value), notes).unwrap();
    ledger.redeem(&outputs);
    ledger.sync(&mut wallet);
    wallet
}

#[test]
fn a_note_is_spent_settled_and_spent_again() {
    let mut ledger = FakeLedger::new();
    let mut wallet = funded(&mut ledger, 1_000, 1);
    assert_eq!(amounts(wallet.balance()), [1_000, 0, 0]);

    let spend = wallet.prepare_spend(credits(256), inputs(&ledger, 500)).unwrap();
    assert_eq!(amounts(wallet.balance()), [0, 0, 1_000]);
    ledger.reserve(&spend).unwrap();
    ledger.sync(&mut wallet);
    assert_eq!(amounts(wallet.balance()), [0, 256, 744]);

    ledger.journal(spend.public.nullifier, credits(20));
    ledger.settle(spend.public.nullifier, credits(56));
    ledger.sync(&mut wallet);
    assert_eq!(amounts(wallet.balance()), [944, 0, 0]);

    // The successor is a note like any other.
    let next = wallet.prepare_spend(credits(900), inputs(&ledger, 500)).unwrap();
    assert_eq!(next.witness.note.refund, credits(200));
    ledger.reserve(&next).unwrap();
    ledger.void(next.public.nullifier);
    ledger.sync(&mut wallet);
    assert_eq!(amounts(wallet.balance()), [944, 0, 0]);

    let items: Vec<_> = wallet.history().iter().collect();
    let [HistoryItem::Deposit(deposit), HistoryItem::Spend(first), HistoryItem::Spend(second)] = items[..] else {
        panic!("unexpected history {items:?}");
    };
    assert_eq!((deposit.value, deposit.entry_index, deposit.seen), (credits(1_000), 0, ledger.time()));
    assert_eq!(first.nullifier, spend.public.nullifier);
    assert_eq!(
        (first.progress, first.charge, first.refund),
        (SpendProgress::Settled, Some(credits(56)), Some(credits(200)))
    );
    assert_eq!(first.context.keyset_digest, inputs(&ledger, 500).keyset_digest);
    assert_eq!((second.progress, second.charge), (SpendProgress::Voided, Some(Credits::ZERO)));
}

#[test]
fn prepared_spends_are_provable() {
    let mut ledger = FakeLedger::with_vk(params().verifying().digest());
    let mut wallet = funded(&mut ledger, 1_000, 3);
    let verifying = params().verifying();
    let mut rng = TestRng::new(30);

    let spend = wallet.prepare_spend(credits(128), inputs(&ledger, 500)).unwrap();
    let proof = prove(params(), &spend.public, &spend.witness, &mut rng).unwrap();
    assert_eq!(verifying.verify(&spend.public, &proof).map(|spend| *spend.public()), Ok(spend.public));
    assert_eq!(spend.public.ctx, spend.context.digest(credits(128)));
    assert_eq!(spend.context.tab_key, spend.tab_key.public());
    ledger.reserve(&spend).unwrap();
    ledger.settle(spend.public.nullifier, credits(1));
    ledger.sync(&mut wallet);

    // 332 credits are left on that lane: the smallest sufficient note is the successor, refund and all.
    let next = wallet.prepare_spend(credits(332), inputs(&ledger, 500)).unwrap();
    assert_eq!(next.witness.note.rho, spend.public.nullifier.0);
    let proof = prove(params(), &next.public, &next.witness, &mut rng).unwrap();
    assert_eq!(verifying.verify(&next.public, &proof).map(|spend| *spend.public()), Ok(next.public));
}

/// What is proved ahead of time is the spend that is prepared later, unless something changed; and foreseeing changes nothing.
#[test]
fn what_is_foreseen_is_what_is_prepared() {
    let mut ledger = FakeLedger::new();
    let mut wallet = funded(&mut ledger, 1_000, 2);
    let before = serde_json::to_value(wallet.state()).unwrap();
    let foreseen = wallet.foresee_spend(credits(128), inputs(&ledger, 500)).unwrap();
    assert_eq!(serde_json::to_value(wallet.state()).unwrap(), before);
    assert_eq!(amounts(wallet.balance()), [1_000, 0, 0]);
    let (elsewhere, later) = (inputs(&FakeLedger::with_vk(crate::Bytes32([9; 32])), 500), inputs(&ledger, 501));
    assert_eq!(wallet.foresee_spend(credits(128), elsewhere).map(|_| ()), Err(WalletError::LedgerMismatch));
    assert_ne!(wallet.foresee_spend(credits(128), later).unwrap().public, foreseen.public);
    assert_ne!(wallet.foresee_spend(credits(129), inputs(&ledger, 500)).unwrap().public, foreseen.public);
    assert!(matches!(wallet.foresee_spend(credits(501), inputs(&ledger, 500)), Err(WalletError::Fragmented { .. })));

    let spend = wallet.prepare_spend(credits(128), inputs(&ledger, 500)).unwrap();
    assert_eq!(spend.public, foreseen.public);
    assert_eq!(spend.context, foreseen.context);
    assert_eq!(spend.tab_key.public(), foreseen.tab_key.public());

    // That note is taken: the next is another. A leaf more is another root.
    let next = wallet.foresee_spend(credits(128), inputs(&ledger, 500)).unwrap();
    assert_ne!(next.public.nullifier, foreseen.public.nullifier);
    let fresh = wallet.deposit_outputs(credits(5), 1).unwrap();
    ledger.redeem(&fresh);
    ledger.sync(&mut wallet);
    let same_note = wallet.foresee_spend(credits(128), inputs(&ledger, 500)).unwrap();
    assert_eq!(same_note.public.nullifier, next.public.nullifier);
    assert_ne!(same_note.public.root, next.public.root);
}

/// All texts in a JSON value that are 32 bytes or more in hex.
fn long_hex(value: &serde_json::Value, found: &mut std::collections::BTreeSet<String>) {
    match value {
        serde_json::Value::String(text) if text.len() >= 64 => drop(found.insert(text.clone())),
        serde_json::Value::Array(items) => items.iter().for_each(|item| long_hex(item, found)),
        serde_json::Value::Object(members) => members.values().for_each(|member| long_hex(member, found)),
        _ => {}
    }
}

fn long_hex_of(value: &impl serde::Serialize) -> std::collections::BTreeSet<String> {
    let mut found = std::collections::BTreeSet::new();
    long_hex(&serde_json::to_value(value).unwrap(), &mut found);
    found
}

/// What ledger and nodes see of a wallet's spends, deposits included: nothing that is in one is in another, but for what the node, the
/// ledger and the public tree give to everybody.
#[test]
fn two_spends_of_one_wallet_share_no_field() {
    let mut ledger = FakeLedger::with_vk(params().verifying().digest());
    let mut wallet = funded(&mut ledger, 1_000, 2);
    let mut rng = TestRng::new(31);
    let mut spends = Vec::new();
    // Two notes of one deposit, and what is left of the first.
    for _ in 0..3 {
        let spend = wallet.prepare_spend(credits(128), inputs(&ledger, 500)).unwrap();
        let proof = prove(params(), &spend.public, &spend.witness, &mut rng).unwrap();
        ledger.reserve(&spend).unwrap();
        ledger.settle(spend.public.nullifier, credits(1));
        ledger.sync(&mut wallet);
        let SpendPublic { root, nullifier, inner_next, c_max, .. } = spend.public;
        spends.push(ReserveRequest { root, nullifier, inner_next, c_max, context: spend.context, proof });
    }
    let everybodys = {
        let SpendContext { ledger_id, vk_digest, keyset_digest, settle_key, payee, price_sheet_digest, .. } =
            spends[0].context;
        let roots = spends.iter().map(|spend| spend.root.to_string());
        let given = [ledger_id, vk_digest, keyset_digest, settle_key, payee, price_sheet_digest];
        given.iter().map(ToString::to_string).chain(roots).collect::<std::collections::BTreeSet<String>>()
    };
    let entries = ledger.page(0, 100).entries;
    assert!(entries.len() >= 2 + 2 * spends.len(), "deposits, reservations, settlements");
    for spend in &spends {
        let own: Vec<String> = long_hex_of(spend).difference(&everybodys).cloned().collect();
        assert!(own.len() >= 4, "nullifier, successor, tab key and proof: {own:?}");
        for other in spends.iter().filter(|other| other.nullifier != spend.nullifier) {
            let shared: Vec<&String> = own.iter().filter(|field| long_hex_of(other).contains(*field)).collect();
            assert!(shared.is_empty(), "{shared:?}");
        }
        for entry in entries.iter().map(long_hex_of) {
            if !entry.contains(&spend.nullifier.to_string()) {
                let shared: Vec<&String> = own.iter().filter(|field| entry.contains(*field)).collect();
                assert!(shared.is_empty(), "an entry of something else has {shared:?}");
            }
        }
    }
}

#[test]
fn the_smallest_sufficient_note_is_picked_then_the_oldest() {
    let mut ledger = FakeLedger::new();
    let mut wallet = funded(&mut ledger, 100, 1);
    for value in [40, 60, 40] {
        let outputs = wallet.deposit_outputs(credits(value), 1).unwrap();
        ledger.redeem(&outputs);
    }
    ledger.sync(&mut wallet);
    let mut pick = |c_max| {
        let spend = wallet.prepare_spend(credits(c_max), inputs(&ledger, 500)).map_err(|error| error.code())?;
        Ok((spend.witness.note.value.get(), spend.witness.path.index()))
    };
    assert_eq!(pick(40), Ok((40, 1)));
    assert_eq!(pick(30), Ok((40, 3)));
    assert_eq!(pick(30), Ok((60, 2)));
    assert_eq!(pick(101), Err("wallet.insufficient_balance"));
    assert_eq!(pick(100), Ok((100, 0)));
    assert_eq!(pick(1), Err("wallet.insufficient_balance"));
}

#[test]
fn spends_that_cannot_be_prepared_are_refused() {
    let mut ledger = FakeLedger::new();
    let mut unsynced = Wallet::new(WalletSeed::from_bytes(SEED), &ledger.info());
    let refused = unsynced.prepare_spend(credits(1), inputs(&ledger, 500)).unwrap_err();
    assert_eq!(refused.code(), "wallet.not_synced");

    let mut wallet = funded(&mut ledger, 100, 4);
    let refused = wallet.prepare_spend(Credits::ZERO, inputs(&ledger, 500)).unwrap_err();
    assert_eq!(refused, WalletError::AmountZero);
    let refused = wallet.prepare_spend(credits(26), inputs(&ledger, 500)).unwrap_err();
    assert_eq!(refused, WalletError::Fragmented { needed: credits(26), largest: credits(25) });
    let refused = wallet.prepare_spend(credits(101), inputs(&ledger, 500)).unwrap_err();
    assert_eq!(refused, WalletError::InsufficientBalance { needed: credits(101), spendable: credits(100) });
    let mut other = inputs(&ledger, 500);
    other.vk_digest.0[0] ^= 1;
    assert_eq!(wallet.prepare_spend(credits(1), other).unwrap_err(), WalletError::LedgerMismatch);

    // A newer checkpoint was seen elsewhere: the wallet must catch up before it spends.
    ledger.redeem(&[]);
    let outputs = wallet.deposit_outputs(credits(1), 1).unwrap();
    ledger.redeem(&outputs);
    wallet.observe(&ledger.checkpoint()).unwrap();
    assert_eq!(wallet.prepare_spend(credits(1), inputs(&ledger, 500)).unwrap_err(), WalletError::NotSynced);
    ledger.sync(&mut wallet);
    assert_eq!(wallet.prepare_spend(credits(1), inputs(&ledger, 500)).unwrap().public.c_max, credits(1));
}

#[test]
fn deposits_are_split_evenly_over_fresh_lanes() {
    let ledger = FakeLedger::new();
    let mut wallet = Wallet::new(WalletSeed::from_bytes(SEED), &ledger.info());
    let outputs = wallet.deposit_outputs(credits(103), 8).unwrap();
    assert_eq!(outputs.iter().map(|output| output.value.get()).collect::<Vec<_>>(), [13, 13, 13, 13, 13, 13, 13, 12]);
    let mut lanes: Vec<_> = outputs.iter().map(|output| output.pk).collect();
    lanes.extend(wallet.deposit_outputs(credits(8), 8).unwrap().iter().map(|output| output.pk));
    lanes.sort_unstable();
    lanes.dedup();
    assert_eq!(lanes.len(), 16);
    for (value, notes) in [(5, 0), (5, 6), (100, 9), (0, 1)] {
        let refused = wallet.deposit_outputs(credits(value), notes).unwrap_err();
        assert_eq!(refused, WalletError::Outputs { value: credits(value), notes });
    }
}

#[test]
fn deposits_that_never_arrive_do_not_push_lanes_out_of_the_gap() {
    let mut ledger = FakeLedger::new();
    let mut wallet = Wallet::new(WalletSeed::from_bytes(SEED), &ledger.info());
    for _ in 0..40 {
        wallet.deposit_outputs(credits(8), 8).unwrap();
    }
    let outputs = wallet.deposit_outputs(credits(80), 8).unwrap();
    ledger.redeem(&outputs);
    let mut recovered = Wallet::new(WalletSeed::from_bytes(SEED), &ledger.info());
    ledger.sync(&mut recovered);
    assert_eq!(amounts(recovered.balance()), [80, 0, 0]);
    // And a recovered wallet does not use those lanes again.
    let fresh = recovered.deposit_outputs(credits(8), 8).unwrap();
    assert!(fresh.iter().all(|output| outputs.iter().all(|used| used.pk != output.pk)));
}

#[test]
fn the_gap_moves_with_the_deposits() {
    let mut ledger = FakeLedger::new();
    let mut wallet = Wallet::new(WalletSeed::from_bytes(SEED), &ledger.info());
    // More lanes than the gap holds, in one session and in one recovery.
    for _ in 0..10 {
        let outputs = wallet.deposit_outputs(credits(80), 8).unwrap();
        ledger.redeem(&outputs);
        ledger.sync(&mut wallet);
    }
    assert_eq!(amounts(wallet.balance()), [800, 0, 0]);
    let mut recovered = Wallet::new(WalletSeed::from_bytes(SEED), &ledger.info());
    ledger.sync(&mut recovered);
    assert_eq!(amounts(recovered.balance()), [800, 0, 0]);
}

#[test]
fn a_crash_between_preparing_and_sending_is_resumed() {
    let mut ledger = FakeLedger::new();
    let mut wallet = funded(&mut ledger, 100, 1);
    let spend = wallet.prepare_spend(credits(10), inputs(&ledger, 500)).unwrap();
    let stored = serde_json::to_string(wallet.state()).unwrap();

    let state = serde_json::from_str(&stored).unwrap();
    let mut wallet = Wallet::from_state(WalletSeed::from_bytes(SEED), state).unwrap();
    assert_eq!(wallet.pending().collect::<Vec<_>>(), [spend.public.nullifier]);
    let resumed = wallet.prepared(spend.public.nullifier).unwrap();
    assert_eq!((resumed.public, &resumed.context), (spend.public, &spend.context));
    assert_eq!(resumed.tab_key.public(), spend.tab_key.public());
    // The first attempt did arrive: the second is the same spend.
    ledger.reserve(&spend).unwrap();
    ledger.reserve(&resumed).unwrap();
    ledger.sync(&mut wallet);
    assert_eq!(amounts(wallet.balance()), [0, 10, 90]);
    let refused = wallet.prepared(spend.public.nullifier).unwrap_err();
    assert_eq!(refused, WalletError::NotPending { nullifier: spend.public.nullifier });
    // Too late to abandon it.
    wallet.abandon(spend.public.nullifier);
    assert_eq!(amounts(wallet.balance()), [0, 10, 90]);
}

#[test]
fn pending_spends_lapse_by_the_ledgers_time() {
    let mut ledger = FakeLedger::new();
    let mut wallet = funded(&mut ledger, 100, 1);
    let spend = wallet.prepare_spend(credits(10), inputs(&ledger, 500)).unwrap();
    ledger.advance(500 + fake::GRACE_SECS);
    ledger.sync(&mut wallet);
    assert_eq!(amounts(wallet.balance()), [0, 0, 100]);
    ledger.advance(1);
    ledger.sync(&mut wallet);
    assert_eq!(amounts(wallet.balance()), [100, 0, 0]);
    assert_eq!(ledger.reserve(&spend), Err("spend.expired"));
    let Some(HistoryItem::Spend(item)) = wallet.history().last() else { panic!("the spend is in the history") };
    assert_eq!(item.progress, SpendProgress::Abandoned);
}

#[test]
fn an_abandoned_spend_that_arrives_anyway_is_recognised() {
    let mut ledger = FakeLedger::new();
    let mut wallet = funded(&mut ledger, 100, 1);
    // A guardian says "refused", keeps the proof, and reserves it behind the wallet's back.
    let kept = wallet.prepare_spend(credits(10), inputs(&ledger, 500)).unwrap();
    wallet.abandon(kept.public.nullifier);
    assert_eq!(amounts(wallet.balance()), [100, 0, 0]);
    let second = wallet.prepare_spend(credits(20), inputs(&ledger, 400)).unwrap();
    ledger.reserve(&kept).unwrap();
    assert_eq!(ledger.reserve(&second), Err("credits.spend_conflict"));
    ledger.sync(&mut wallet);
    assert_eq!(amounts(wallet.balance()), [0, 10, 90]);
    ledger.settle(kept.public.nullifier, credits(10));
    ledger.sync(&mut wallet);
    assert_eq!(amounts(wallet.balance()), [90, 0, 0]);
    let progress: Vec<_> = wallet
        .history()
        .iter()
        .filter_map(|item| match item {
            HistoryItem::Spend(item) => Some((item.c_max.get(), item.progress)),
            HistoryItem::Deposit(_) | HistoryItem::Claim(_) | HistoryItem::Merge(_) => None,
        })
        .collect();
    let abandoned = SpendProgress::Abandoned;
    assert_eq!(progress, [(10, abandoned), (20, abandoned), (10, SpendProgress::Settled)]);
}

#[test]
fn a_spend_of_everything_leaves_no_note() {
    let mut ledger = FakeLedger::new();
    let mut wallet = funded(&mut ledger, 64, 1);
    let spend = wallet.prepare_spend(credits(64), inputs(&ledger, 500)).unwrap();
    ledger.reserve(&spend).unwrap();
    ledger.settle(spend.public.nullifier, credits(64));
    ledger.sync(&mut wallet);
    assert_eq!(amounts(wallet.balance()), [0, 0, 0]);
    assert_eq!(wallet.state().notes(), []);
}

#[test]
fn a_long_log_is_replayed_in_pages() {
    let mut ledger = FakeLedger::new();
    let mut wallet = Wallet::new(WalletSeed::from_bytes(SEED), &ledger.info());
    for _ in 0..10 {
        let outputs = wallet.deposit_outputs(credits(30), 3).unwrap();
        ledger.redeem(&outputs);
    }
    // The log grows while it is fetched, so each page has another checkpoint.
    let mut sizes = Vec::new();
    loop {
        let progress = wallet.apply_page(&ledger.page(wallet.next_entry(), 4)).unwrap();
        sizes.push((progress.applied, progress.remaining));
        if progress.remaining == 0 {
            break;
        }
        if sizes.len() < 3 {
            let outputs = wallet.deposit_outputs(credits(2), 2).unwrap();
            ledger.redeem(&outputs);
        }
    }
    assert_eq!(sizes, [(4, 26), (4, 24), (4, 22), (4, 18), (4, 14), (4, 10), (4, 6), (4, 2), (2, 0)]);
    assert_eq!(amounts(wallet.balance()), [304, 0, 0]);
    assert_eq!(wallet.state().newest_seen(), Some(&ledger.checkpoint()));
}
