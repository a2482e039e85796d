//! Tests of [`super`]: one accepted case, one fault per row.

use super::*;
use crate::bytes::SignatureBytes;
use crate::field::Fe;
use crate::keys::SigningKey;
use crate::note::{Nullifier, Root};
use crate::spend::SpendProof;

const NOW: u64 = 1_000;
const LEDGER: Bytes32 = Bytes32([1; 32]);
const VK: Bytes32 = Bytes32([2; 32]);
const RULES: ReserveRules = ReserveRules { ledger_id: LEDGER, vk_digest: VK, tab_secs_max: 600 };

fn credits(value: u64) -> Credits {
    Credits::new(value).unwrap()
}

fn key() -> SigningKey {
    SigningKey::from_seed(&[9; 32])
}

fn request() -> ReserveRequest {
    ReserveRequest {
        root: Root(Fe::from(1)),
        nullifier: Nullifier(Fe::from(2)),
        inner_next: Inner(Fe::from(3)),
        c_max: credits(100),
        context: SpendContext {
            ledger_id: LEDGER,
            vk_digest: VK,
            keyset_digest: Bytes32([3; 32]),
            settle_key: key().public(),
            payee: Bytes32([4; 32]),
            price_sheet_digest: Bytes32([5; 32]),
            not_after: NOW + 600,
            tab_key: Bytes32([6; 32]),
        },
        proof: SpendProof::from_bytes([7; 128]),
    }
}

fn reserved(journalled: Option<u64>) -> SpendState {
    let ReserveRequest { inner_next, c_max, context, .. } = request();
    SpendState::Reserved(ReservedSpend {
        inner_next,
        c_max,
        context,
        entry_index: 8,
        journalled: journalled.map(credits),
    })
}

fn ended(charge: u64) -> (ReservedSpend, SpendOutcome) {
    let outcome = SpendOutcome {
        charge: credits(charge),
        refund: credits(100 - charge),
        leaf: Leaf(Fe::from(4)),
        leaf_index: 5,
        entry_index: 9,
        rated: None,
    };
    (reserved(None).spend().unwrap().clone(), outcome)
}

fn settled(charge: u64) -> SpendState {
    let (spend, outcome) = ended(charge);
    SpendState::Settled { spend, outcome, by: SettledBy::Guardian }
}

fn voided() -> SpendState {
    let (spend, outcome) = ended(0);
    SpendState::Voided { spend, outcome }
}

fn merge_request() -> MergeRequest {
    MergeRequest {
        root: Root(Fe::from(1)),
        nullifiers: [Nullifier(Fe::from(2)), Nullifier(Fe::from(3))],
        inner_next: Inner(Fe::from(4)),
        proof: SpendProof::from_bytes([7; 128]),
    }
}

fn merged() -> SpendState {
    let MergeRequest { nullifiers, inner_next, .. } = merge_request();
    SpendState::Merged(MergedNotes { nullifiers, inner_next, entry_index: 11 })
}

#[test]
fn merges_are_decided_by_their_nullifiers_first() {
    let fresh = MergeFacts { recorded: [None, None], inner_used: false, root_recent: true };
    assert_eq!(decide_merge(&merge_request(), fresh), Ok(MergeDecision::Record));
    let mut one_note = merge_request();
    one_note.nullifiers[1] = one_note.nullifiers[0];
    assert_eq!(decide_merge(&one_note, fresh), Err(LedgerError::MergeOneNote));
    assert_eq!(decide_merge(&merge_request(), MergeFacts { inner_used: true, ..fresh }), Err(LedgerError::InnerReused));
    assert_eq!(
        decide_merge(&merge_request(), MergeFacts { root_recent: false, ..fresh }),
        Err(LedgerError::RootUnknown)
    );

    let (merged, reserved, settled) = (merged(), reserved(None), settled(1));
    let (merged, reserved, settled) = (Some(&merged), Some(&reserved), Some(&settled));
    let taken =
        [[reserved, None], [None, reserved], [settled, settled], [merged, None], [None, merged], [merged, reserved]];
    for recorded in taken {
        let decision = decide_merge(&merge_request(), MergeFacts { recorded, ..fresh });
        assert_eq!(decision, Err(LedgerError::SpendConflict), "{recorded:?}");
    }
    // The same again, whatever has become of its root and whatever its proof is; and others of these notes.
    let again = MergeFacts { recorded: [merged, merged], inner_used: true, root_recent: false };
    let mut other_proof = merge_request();
    (other_proof.root, other_proof.proof) = (Root(Fe::from(9)), SpendProof::from_bytes([8; 128]));
    assert_eq!(decide_merge(&other_proof, again), Ok(MergeDecision::Repeat { entry_index: 11 }));
    let mut swapped = merge_request();
    swapped.nullifiers.swap(0, 1);
    let mut elsewhere = merge_request();
    elsewhere.inner_next = Inner(Fe::from(5));
    for other in [swapped, elsewhere] {
        assert_eq!(decide_merge(&other, again), Err(LedgerError::SpendConflict));
    }
}

#[test]
fn a_merged_note_is_spent() {
    let merged = merged();
    assert_eq!(
        decide_reserve(&request(), ReserveFacts { recorded: Some(&merged), ..FRESH }, &RULES, NOW),
        Err(LedgerError::SpendConflict)
    );
    assert_eq!(merged.spend(), None);
    assert_eq!(merged.outcome(), None);
    assert_eq!(decide_finalise(&merged, 0, u64::MAX), None);
}

const FRESH: ReserveFacts<'_> = ReserveFacts { recorded: None, inner_used: false, root_recent: true };

#[test]
fn reserve_refuses_each_fault() {
    assert_eq!(decide_reserve(&request(), FRESH, &RULES, NOW), Ok(ReserveDecision::Record));
    type Fault = fn(&mut ReserveRequest);
    let faults: [(Fault, &str); 6] = [
        (|r| r.context.ledger_id.0[0] ^= 1, "spend.ledger_mismatch"),
        (|r| r.context.vk_digest.0[0] ^= 1, "spend.ledger_mismatch"),
        (|r| r.c_max = Credits::ZERO, "spend.reserve_zero"),
        (|r| r.context.not_after = NOW, "spend.expired"),
        (|r| r.context.not_after = NOW + 601, "spend.not_after_too_far"),
        (|r| r.context.not_after = u64::MAX, "spend.not_after_too_far"),
    ];
    for (fault, code) in faults {
        let mut bad = request();
        fault(&mut bad);
        assert_eq!(decide_reserve(&bad, FRESH, &RULES, NOW).unwrap_err().code(), code);
    }
    let used = ReserveFacts { inner_used: true, ..FRESH };
    assert_eq!(decide_reserve(&request(), used, &RULES, NOW), Err(LedgerError::InnerReused));
    let old = ReserveFacts { root_recent: false, ..FRESH };
    assert_eq!(decide_reserve(&request(), old, &RULES, NOW), Err(LedgerError::RootUnknown));
}

#[test]
fn a_repeat_is_answered_in_every_state_and_with_any_proof_bytes() {
    for state in [reserved(None), reserved(Some(5)), settled(5), voided()] {
        let facts = ReserveFacts { recorded: Some(&state), inner_used: true, root_recent: false };
        let mut again = request();
        again.proof = SpendProof::from_bytes([8; 128]);
        let verdict = decide_reserve(&again, facts, &RULES, NOW + 10_000);
        assert_eq!(verdict, Ok(ReserveDecision::Repeat { entry_index: 8 }));
        let changes: [fn(&mut ReserveRequest); 4] = [
            |r| r.c_max = credits(101),
            |r| r.inner_next = Inner(Fe::from(9)),
            |r| r.context.tab_key.0[0] ^= 1,
            |r| r.context.not_after += 1,
        ];
        for change in changes {
            let mut other = request();
            change(&mut other);
            assert_eq!(decide_reserve(&other, facts, &RULES, NOW), Err(LedgerError::SpendConflict));
        }
    }
}

fn journal(total: u64) -> VerifiedJournal {
    let nullifier = request().nullifier;
    let signature = key().sign(&journal_message(&LEDGER, &nullifier, credits(total)));
    let request = JournalRequest { nullifier, total: credits(total), signature };
    VerifiedJournal::verify(request, &LEDGER, key().public()).unwrap()
}

fn settle(charge: u64) -> VerifiedSettle {
    let nullifier = request().nullifier;
    let signature = key().sign(&settle_message(&LEDGER, &nullifier, credits(charge)));
    let request = SettleRequest { nullifier, charge: credits(charge), signature };
    VerifiedSettle::verify(request, &LEDGER, key().public()).unwrap()
}

#[test]
fn totals_never_fall_and_stay_within_the_reserve() {
    assert_eq!(decide_journal(&reserved(None), &journal(0)), Ok(JournalDecision::Record));
    assert_eq!(decide_journal(&reserved(Some(5)), &journal(5)), Ok(JournalDecision::Repeat));
    assert_eq!(decide_journal(&reserved(Some(5)), &journal(100)), Ok(JournalDecision::Record));
    assert_eq!(decide_journal(&reserved(Some(5)), &journal(4)), Err(LedgerError::JournalDecreasing));
    assert_eq!(decide_journal(&reserved(Some(5)), &journal(101)), Err(LedgerError::JournalAboveReserve));
    assert_eq!(decide_journal(&settled(5), &journal(5)), Err(LedgerError::JournalFinalised));
    assert_eq!(decide_journal(&voided(), &journal(5)), Err(LedgerError::JournalFinalised));
}

#[test]
fn n38_a_settlement_stays_between_the_journal_and_the_reserve() {
    assert_eq!(decide_settle(&reserved(None), &settle(0)), Ok(SettleDecision::Record { refund: credits(100) }));
    assert_eq!(decide_settle(&reserved(Some(5)), &settle(100)), Ok(SettleDecision::Record { refund: credits(0) }));
    assert_eq!(decide_settle(&reserved(Some(5)), &settle(4)), Err(LedgerError::SettleBelowJournal));
    for state in [reserved(None), settled(5), voided()] {
        assert_eq!(decide_settle(&state, &settle(101)), Err(LedgerError::SettleAboveReserve));
    }
}

#[test]
fn a_leaf_that_was_hashed_ahead_is_taken_only_for_what_it_was_hashed_of() {
    let (mine, other) = (request().inner_next, Inner(Fe::from(77)));
    for (inner_next, c_max) in [(mine, 100), (other, 100), (mine, 101), (mine, 4)] {
        let mut settle = settle(5);
        settle.hash_ahead(inner_next, credits(c_max));
        assert_eq!(settle.leaf(mine, credits(95)), leaf(mine, credits(95)), "{inner_next:?} {c_max}");
    }
    assert_eq!(settle(5).leaf(mine, credits(95)), leaf(mine, credits(95)));
}

#[test]
fn n34_an_outcome_is_final() {
    assert_eq!(decide_settle(&settled(5), &settle(5)), Ok(SettleDecision::Repeat(ended(5).1)));
    assert_eq!(decide_settle(&settled(5), &settle(6)), Err(LedgerError::SettleConflict));
    assert_eq!(decide_settle(&voided(), &settle(0)), Ok(SettleDecision::Repeat(ended(0).1)));
    assert_eq!(decide_settle(&voided(), &settle(1)), Err(LedgerError::SettleConflict));
    assert_eq!(decide_finalise(&settled(5), 0, u64::MAX), None);
    assert_eq!(decide_finalise(&voided(), 0, u64::MAX), None);
}

#[test]
fn the_ledger_ends_a_reservation_only_after_grace() {
    let due = NOW + 600 + 60;
    assert_eq!(decide_finalise(&reserved(None), 60, due), None);
    assert_eq!(decide_finalise(&reserved(None), 60, due + 1), Some(Finalisation::Void { refund: credits(100) }));
    assert_eq!(
        decide_finalise(&reserved(Some(30)), 60, due + 1),
        Some(Finalisation::Settle { charge: credits(30), refund: credits(70) })
    );
    assert_eq!(decide_finalise(&reserved(None), u64::MAX, u64::MAX), None);
}

#[test]
fn signatures_are_bound_to_ledger_spend_amount_kind_and_key() {
    let nullifier = request().nullifier;
    let total = credits(5);
    let good = key().sign(&journal_message(&LEDGER, &nullifier, total));
    let wrong: [SignatureBytes; 5] = [
        key().sign(&journal_message(&Bytes32([8; 32]), &nullifier, total)),
        key().sign(&journal_message(&LEDGER, &Nullifier(Fe::from(9)), total)),
        key().sign(&journal_message(&LEDGER, &nullifier, credits(6))),
        key().sign(&settle_message(&LEDGER, &nullifier, total)),
        SigningKey::from_seed(&[8; 32]).sign(&journal_message(&LEDGER, &nullifier, total)),
    ];
    let verify = |signature| {
        VerifiedJournal::verify(JournalRequest { nullifier, total, signature }, &LEDGER, key().public()).map(|_| ())
    };
    assert_eq!(verify(good), Ok(()));
    for signature in wrong {
        assert_eq!(verify(signature), Err(LedgerError::JournalSignature));
    }
    let as_settle = SettleRequest { nullifier, charge: total, signature: good };
    let refused = VerifiedSettle::verify(as_settle, &LEDGER, key().public()).map(|_| ());
    assert_eq!(refused, Err(LedgerError::SettleSignature));

    // Verified under some other key than the spend's: of no use.
    let other = SigningKey::from_seed(&[8; 32]);
    let signature = other.sign(&journal_message(&LEDGER, &nullifier, total));
    let request = JournalRequest { nullifier, total, signature };
    let stray = VerifiedJournal::verify(request, &LEDGER, other.public()).unwrap();
    assert_eq!(decide_journal(&reserved(None), &stray), Err(LedgerError::JournalSignature));
}
