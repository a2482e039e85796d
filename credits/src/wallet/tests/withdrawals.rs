//! Withdrawals, and claims of them by another wallet.

use super::*;
use crate::claim::ClaimRequest;
use crate::entry::{ClaimEntry, LogEntry};
use crate::note::Leaf;
use crate::{Fe, SignatureBytes};

const OTHER: [u8; 32] = [0x07; 32];

/// A wallet with 1,000 that withdrew 256 of it, and the withdrawal.
fn withdrawn(ledger: &mut FakeLedger) -> (Wallet, OwnWithdrawal) {
    let mut wallet = funded(ledger, 1_000, 1);
    let spend = wallet.prepare_withdrawal(credits(256), FakeLedger::START + 500).unwrap();
    ledger.reserve(&spend).unwrap();
    ledger.sync(&mut wallet);
    let own = wallet.withdrawals().next().unwrap();
    assert_eq!(own.progress, SpendProgress::Reserved);
    ledger.settle_signed(&wallet.settle_withdrawal(own.nullifier, credits(256)));
    ledger.sync(&mut wallet);
    let own = wallet.withdrawals().next().unwrap();
    (wallet, own)
}

fn claim_of(wallet: &mut Wallet, own: &OwnWithdrawal, before: u64, value: u64) -> ClaimRequest {
    let output = wallet.deposit_outputs(credits(value), 1).unwrap().pop().unwrap();
    ClaimRequest::sign(&own.withdrawal.key, &own.withdrawal.ledger_id, before, output)
}

#[test]
fn what_is_withdrawn_another_wallet_claims() {
    let mut ledger = FakeLedger::new();
    let (mut wallet, own) = withdrawn(&mut ledger);
    assert_eq!(amounts(wallet.balance()), [744, 0, 0]);
    assert_eq!((own.progress, own.withdrawal.value), (SpendProgress::Settled, credits(256)));

    let mut other = Wallet::new(WalletSeed::from_bytes(OTHER), &ledger.info());
    ledger.sync(&mut other);
    let claims = [claim_of(&mut other, &own, 0, 200), claim_of(&mut other, &own, 1, 56)];
    claims.iter().for_each(|claim| ledger.claim(claim));
    ledger.sync(&mut other);
    ledger.sync(&mut wallet);
    assert_eq!(amounts(other.balance()), [256, 0, 0]);
    assert_eq!(amounts(wallet.balance()), [744, 0, 0]);
    let [HistoryItem::Claim(first), HistoryItem::Claim(second)] = other.history() else { panic!("two claims") };
    assert_eq!((first.value, second.value, first.payee), (credits(200), credits(56), own.withdrawal.key.public()));
    // The claimed notes pay like any other.
    let spend = other.prepare_spend(credits(128), inputs(&ledger, 500)).unwrap();
    ledger.reserve(&spend).unwrap();
    ledger.sync(&mut other);
    assert_eq!(amounts(other.balance()), [56, 128, 72]);
    // What others do is not a withdrawal.
    assert_eq!(other.withdrawals().count(), 0);
}

#[test]
fn a_seed_alone_finds_its_withdrawals_and_claims() {
    let mut ledger = FakeLedger::new();
    let (mut wallet, own) = withdrawn(&mut ledger);
    // Back into the same wallet.
    let claim = claim_of(&mut wallet, &own, 0, 256);
    ledger.claim(&claim);
    let mut restored = Wallet::new(WalletSeed::from_bytes(SEED), &ledger.info());
    ledger.sync(&mut restored);
    assert_eq!(amounts(restored.balance()), [1_000, 0, 0]);
    let found: Vec<_> = restored.withdrawals().collect();
    assert_eq!((found.len(), found[0].progress), (1, SpendProgress::Settled));
    assert_eq!(found[0].withdrawal.key.seed(), own.withdrawal.key.seed());
    // The lane of the claim is used: the next deposit has another.
    ledger.sync(&mut wallet);
    assert_ne!(restored.deposit_outputs(credits(1), 1).unwrap()[0].pk, claim.output.pk);
}

#[test]
fn a_withdrawal_that_is_cut_off_comes_back() {
    let mut ledger = FakeLedger::new();
    let mut wallet = funded(&mut ledger, 1_000, 1);
    let spend = wallet.prepare_withdrawal(credits(256), FakeLedger::START + 500).unwrap();
    ledger.reserve(&spend).unwrap();
    ledger.advance(600);
    ledger.finalise();
    ledger.sync(&mut wallet);
    assert_eq!(amounts(wallet.balance()), [1_000, 0, 0]);
    assert_eq!(wallet.withdrawals().next().unwrap().progress, SpendProgress::Voided);
}

/// A note keeps its nullifier when an attempt at it is given up, and the next attempt may be of another amount.
#[test]
fn the_newest_attempt_at_a_note_is_the_withdrawal() {
    let mut ledger = FakeLedger::new();
    let mut wallet = funded(&mut ledger, 1_000, 1);
    let given_up = wallet.prepare_withdrawal(credits(50), FakeLedger::START + 500).unwrap();
    wallet.abandon(given_up.public.nullifier);
    let spend = wallet.prepare_withdrawal(credits(100), FakeLedger::START + 500).unwrap();
    assert_eq!(spend.public.nullifier, given_up.public.nullifier);
    ledger.reserve(&spend).unwrap();
    ledger.sync(&mut wallet);
    let own: Vec<_> = wallet.withdrawals().collect();
    let [own] = own.as_slice() else { panic!("one withdrawal: {own:?}") };
    assert_eq!((own.progress, own.withdrawal.value), (SpendProgress::Reserved, credits(100)));
    // A tab that took the note after that is no withdrawal.
    ledger.settle_signed(&wallet.settle_withdrawal(own.nullifier, credits(100)));
    ledger.sync(&mut wallet);
    let tab = wallet.prepare_spend(credits(100), inputs(&ledger, 500)).unwrap();
    wallet.abandon(tab.public.nullifier);
    let own: Vec<_> = wallet.withdrawals().map(|own| own.withdrawal.value).collect();
    assert_eq!(own, [credits(100)]);
}

#[test]
fn withdrawals_are_refused_like_spends() {
    let mut ledger = FakeLedger::new();
    let mut wallet = funded(&mut ledger, 100, 2);
    let not_after = FakeLedger::START + 500;
    let refused = |error: Result<PreparedSpend, WalletError>| error.map(|_| ()).map_err(|error| error.code());
    assert_eq!(refused(wallet.prepare_withdrawal(credits(0), not_after)), Err("wallet.amount_zero"));
    assert_eq!(refused(wallet.prepare_withdrawal(credits(101), not_after)), Err("wallet.insufficient_balance"));
    assert_eq!(refused(wallet.prepare_withdrawal(credits(51), not_after)), Err("wallet.fragmented"));
    assert_eq!(amounts(wallet.balance()), [100, 0, 0]);
}

#[test]
fn claims_that_break_a_rule_are_refused_by_everyone() {
    type Edit = fn(&mut ClaimEntry);
    let faults: [(Edit, EntryFault); 8] = [
        (|entry| entry.payee.0[0] ^= 1, EntryFault::Signature),
        (|entry| entry.claim_seq = 1, EntryFault::Signature),
        (|entry| entry.value = credits(255), EntryFault::Signature),
        (|entry| entry.b = Fe::from(1), EntryFault::Signature),
        (|entry| entry.signature = SignatureBytes([0; 64]), EntryFault::Signature),
        (|entry| entry.mint_seq = 2, EntryFault::MintSequence { expected: 1, got: 2 }),
        (|entry| entry.rho = Fe::from(1), EntryFault::MintRho),
        (|entry| entry.leaf = Leaf(Fe::from(1)), EntryFault::Leaf),
    ];
    for (at, (change, fault)) in faults.iter().enumerate() {
        let mut ledger = FakeLedger::new();
        let (mut wallet, own) = withdrawn(&mut ledger);
        let mut stranger = Wallet::new(WalletSeed::from_bytes(OTHER), &ledger.info());
        ledger.sync(&mut stranger);
        let claim = claim_of(&mut wallet.clone(), &own, 0, 256);
        ledger.claim(&claim);
        let page = ledger.page(wallet.next_entry(), 100);
        let mut changed = page.clone();
        let LogEntry::Claim(entry) = &mut changed.entries[0] else { panic!("a claim") };
        change(entry);
        for wallet in [&mut wallet, &mut stranger] {
            let index = wallet.next_entry();
            assert_eq!(
                wallet.apply_page(&changed),
                Err(WalletError::EntryInvalid { index, fault: *fault }),
                "row {at}"
            );
            wallet.apply_page(&page).unwrap();
        }
    }
}
