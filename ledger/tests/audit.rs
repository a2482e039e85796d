//! What an auditor finds in logs: nothing in those that ledgers write, and each fault in one that was written wrong and signed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "audit/standing.rs"]
mod standing;
mod support;

use credits::audit::{AuditFault, AuditTotals, LogAudit};
use credits::merkle::LogFrontier;
use credits::params::{VerifyingParams, setup, setup_merge};
use credits::wallet::WalletSeed;
use credits::{
    Checkpoint, ClaimEntry, ClaimRequest, Fe, Inner, Ledger, LedgerInfo, LogEntry, LogPage, MergeEntry, NoteFrontier,
    Nullifier, Root, UnsignedCheckpoint, note,
};
use ledger::{LedgerIdentity, VolatileLedger};
use support::oracle::{Action, Oracle, send};
use support::*;

/// What nobody could prove here: the verifying key is real, the proofs of these tests are not.
fn verifying() -> VerifyingParams {
    setup(&mut rand_core::OsRng).unwrap().1
}

fn audit(info: &LedgerInfo, verifying: &VerifyingParams, entries: &[LogEntry]) -> Result<AuditTotals, AuditFault> {
    audit_by(500, info, verifying, entries)
}

/// What nobody else knows.
fn seed() -> WalletSeed {
    WalletSeed::from_bytes([0xa5; 32])
}

/// In pages of so many entries; proofs are verified at the end of a page.
fn audit_by(
    page_len: usize,
    info: &LedgerInfo,
    verifying: &VerifyingParams,
    entries: &[LogEntry],
) -> Result<AuditTotals, AuditFault> {
    let mut audit = LogAudit::new(info, verifying.clone(), None, seed());
    for end in (0..entries.len()).step_by(page_len).map(|start| (start + page_len).min(entries.len())) {
        let from = usize::try_from(audit.next_entry()).unwrap();
        let page = LogPage { entries: entries[from..end].to_vec(), checkpoint: sign(info, entries) };
        audit.apply_page(&page, &mut rand_core::OsRng)?;
    }
    Ok(audit.totals().clone())
}

/// The checkpoint over entries, whatever they say.
fn sign(info: &LedgerInfo, entries: &[LogEntry]) -> Checkpoint {
    let (mut log, mut notes) = (LogFrontier::new(), NoteFrontier::new());
    for entry in entries {
        log.append(entry.leaf_hash());
        if let Some((_, leaf)) = entry.appended_note() {
            notes.append(leaf).unwrap();
        }
    }
    let (log_size, log_root) = (log.size(), log.root());
    let (note_count, note_root) = (notes.len(), notes.root());
    let unsigned =
        UnsignedCheckpoint { ledger_id: info.ledger_id, log_size, log_root, note_count, note_root, time: START };
    Checkpoint::sign(unsigned, &ledger_key())
}

/// A log that a ledger wrote, without spends: those have no proofs here.
async fn deposits(info: &LedgerInfo) -> Vec<LogEntry> {
    let identity = LedgerIdentity::new(info.clone(), ledger_key()).unwrap();
    let ledger = VolatileLedger::volatile(identity, FakeProofs, TestClock::new()).unwrap();
    let mut oracle = Oracle::new(info.clone(), START);
    for value in 1..20 {
        let (call, expected) = oracle.plan(Action::Mint { value: 100 * value, notes: 3 }).unwrap();
        assert_eq!(send(&ledger, call).await, expected);
    }
    ledger.log(0, 1000).await.unwrap().entries
}

#[tokio::test]
async fn logs_that_were_written_wrong_have_their_faults() {
    let verifying = verifying();
    let info = info(verifying.digest());
    let good = deposits(&info).await;
    let totals = audit(&info, &verifying, &good).unwrap();
    assert_eq!(audit_by(7, &info, &verifying, &good).unwrap(), totals);
    let values = good.iter().map(|entry| match entry {
        LogEntry::Mint(mint) => mint.value.get(),
        _ => 0,
    });
    assert_eq!((totals.vouchers, totals.minted.get()), (19, values.sum()));
    assert_eq!(totals.notes, u64::try_from(good.len()).unwrap());

    // A spend with a proof of nothing: everything else about it is right.
    let world = World::of(
        VolatileLedger::volatile(
            LedgerIdentity::new(info.clone(), ledger_key()).unwrap(),
            FakeProofs,
            TestClock::new(),
        )
        .unwrap(),
        TestClock::new(),
    );
    let mut notes = NoteFrontier::new();
    for (_, leaf) in good.iter().filter_map(LogEntry::appended_note) {
        notes.append(leaf).unwrap();
    }
    let reserve = |root: Root, number: u64| {
        let mut spend = world.spend_under(root, number, 10);
        (spend.context.ledger_id, spend.context.vk_digest) = (info.ledger_id, info.vk_digest);
        spend.entry()
    };
    let end = good.len();
    let position = |at: usize| u64::try_from(at).unwrap();
    let with = |more: Vec<LogEntry>| [good.clone(), more].concat();
    let first = reserve(notes.root(), 1);
    let unproved = audit(&info, &verifying, &with(vec![LogEntry::Reserve(first.clone())]));
    assert_eq!(unproved, Err(AuditFault::Proof { index: position(end) }));

    let mut successor = reserve(notes.root(), 2);
    successor.inner_next = first.inner_next;
    let twice = audit(&info, &verifying, &with(vec![LogEntry::Reserve(first.clone()), LogEntry::Reserve(successor)]));
    assert_eq!(twice, Err(AuditFault::SuccessorTwice { index: position(end + 1) }));

    let rootless = audit(&info, &verifying, &with(vec![LogEntry::Reserve(reserve(Root(Fe::from(5)), 3))]));
    assert_eq!(rootless, Err(AuditFault::Root { index: position(end) }));

    // A root that the tree had once is as good as the newest, here.
    let mut earlier = NoteFrontier::new();
    earlier.append(good[0].appended_note().unwrap().1).unwrap();
    let old = audit(&info, &verifying, &with(vec![LogEntry::Reserve(reserve(earlier.root(), 5))]));
    assert_eq!(old, Err(AuditFault::Proof { index: position(end) }));

    // More than there is.
    let mut much = reserve(notes.root(), 6);
    much.c_max = credits(totals.minted.get() + 1);
    let made = audit(&info, &verifying, &with(vec![LogEntry::Reserve(much)]));
    assert_eq!(made, Err(AuditFault::Sum { index: position(end) }));

    // A spend that ended, and its nullifier again: no wallet remembers that.
    let settle = settle(&info, &first.nullifier, 4);
    let leaf = note::leaf(first.inner_next, credits(6));
    let ended = LogEntry::Settle(credits::SettleEntry {
        nullifier: first.nullifier,
        charge: credits(4),
        refund: credits(6),
        leaf_index: notes.len(),
        leaf,
        by: credits::SettledBy::Guardian,
        signature: Some(settle.signature),
    });
    let mut again = reserve(notes.root(), 4);
    again.nullifier = first.nullifier;
    let spent = with(vec![LogEntry::Reserve(first.clone()), ended.clone(), LogEntry::Reserve(again)]);
    let spent = audit(&info, &verifying, &spent);
    assert_eq!(spent, Err(AuditFault::SpentTwice { index: position(end + 2) }));

    // What a payee claims it was charged for, and no more, one claim after the other.
    let claim = |claim_seq: u64, value: u64, at: usize| {
        let request = ClaimRequest::sign(&payee_key(), &info.ledger_id, claim_seq, output(5, value));
        let (mint_seq, leaf_index) = (position(at), notes.len() + position(at - end));
        let rho = note::mint_rho(info.ledger_id, mint_seq);
        let ClaimRequest { payee, claim_seq, output, signature } = request;
        let (pk, b) = (output.pk, output.b);
        let leaf = note::leaf(note::inner(pk, output.value, rho, note::Blind(b)), credits(0));
        let value = output.value;
        LogEntry::Claim(ClaimEntry { payee, claim_seq, mint_seq, value, pk, rho, b, leaf_index, leaf, signature })
    };
    let unpaid = audit(&info, &verifying, &with(vec![claim(0, 1, end)]));
    assert_eq!(unpaid, Err(AuditFault::Claim { index: position(end) }));
    let nothing = audit(&info, &verifying, &with(vec![claim(0, 0, end)]));
    assert_eq!(nothing, Err(AuditFault::Claim { index: position(end) }));
    let stale = audit(&info, &verifying, &with(vec![claim(1, 1, end)]));
    assert_eq!(stale, Err(AuditFault::Claim { index: position(end) }));

    // Merges: of spent notes, into used successors, under no root; and with a proof of nothing, or where nothing proves any.
    let merge = |root: Root, numbers: [u64; 2], inner: u64| {
        let nullifiers = numbers.map(|number| Nullifier(Fe::from(1_000 + number)));
        let inner_next = Inner(Fe::from(inner));
        let leaf = note::leaf(inner_next, credits(0));
        LogEntry::Merge(MergeEntry { root, nullifiers, inner_next, leaf_index: notes.len(), leaf, proof: good_proof() })
    };
    let spend = || LogEntry::Reserve(reserve(notes.root(), 4));
    let LogEntry::Reserve(reserved) = spend() else { panic!("a reservation") };
    let used = reserved.inner_next;
    let spent = audit(&info, &verifying, &with(vec![spend(), merge(notes.root(), [3, 4], 1)]));
    // A wallet sees that it is reserved; that it was spent once, only an auditor does.
    assert!(matches!(spent, Err(AuditFault::Replay(_))), "{spent:?}");
    let ended = vec![LogEntry::Reserve(first.clone()), ended.clone()];
    let mut late = merge(notes.root(), [3, 1], 1);
    if let LogEntry::Merge(merge) = &mut late {
        merge.leaf_index += 1;
    }
    let spent = audit(&info, &verifying, &with([ended, vec![late]].concat()));
    assert_eq!(spent, Err(AuditFault::SpentTwice { index: position(end + 2) }));
    let mut successor = merge(notes.root(), [5, 6], 1);
    if let LogEntry::Merge(merge) = &mut successor {
        (merge.inner_next, merge.leaf) = (used, note::leaf(used, credits(0)));
    }
    let successor = audit(&info, &verifying, &with(vec![spend(), successor]));
    assert_eq!(successor, Err(AuditFault::SuccessorTwice { index: position(end + 1) }));
    let rootless = audit(&info, &verifying, &with(vec![merge(Root(Fe::from(5)), [5, 6], 1)]));
    assert_eq!(rootless, Err(AuditFault::Root { index: position(end) }));
    let unproved = with(vec![merge(notes.root(), [5, 6], 1)]);
    assert_eq!(audit(&info, &verifying, &unproved), Err(AuditFault::Proof { index: position(end) }));
    let keys = setup_merge(&mut rand_core::OsRng).unwrap();
    let mut forged = LogAudit::new(&info, verifying.clone(), Some(keys.verifying().clone()), seed());
    let page = LogPage { entries: unproved.clone(), checkpoint: sign(&info, &unproved) };
    let forged = forged.apply_page(&page, &mut rand_core::OsRng);
    assert_eq!(forged.map(|_| ()), Err(AuditFault::Proof { index: position(end) }));

    // A voucher's mints in two places, with whatever stands between, and more of them than one redemption makes.
    let mint = |like: &LogEntry, at: usize| {
        let LogEntry::Mint(mut mint) = like.clone() else { panic!("a mint") };
        (mint.mint_seq, mint.leaf_index) = (position(at), position(at));
        mint.rho = note::mint_rho(info.ledger_id, mint.mint_seq);
        mint.leaf = note::leaf(note::inner(mint.pk, mint.value, mint.rho, note::Blind(mint.b)), credits(0));
        LogEntry::Mint(mint)
    };
    let redeemed = audit(&info, &verifying, &with(vec![mint(&good[0], end)]));
    assert_eq!(redeemed, Err(AuditFault::VoucherTwice { index: position(end) }));
    let many: Vec<_> = (end..end + 8).map(|at| mint(&good[end - 1], at)).collect();
    let many = audit(&info, &verifying, &with(many));
    assert!(matches!(many, Err(AuditFault::VoucherTwice { index }) if index >= position(end)), "{many:?}");

    // And what wallets refuse: an entry of another form, a checkpoint of another key.
    let mut renumbered = good.clone();
    renumbered.swap(0, 1);
    assert!(matches!(audit(&info, &verifying, &renumbered), Err(AuditFault::Replay(_))));
    let mut foreign = LogAudit::new(&info, verifying.clone(), None, seed());
    let mut page = LogPage { entries: good.clone(), checkpoint: sign(&info, &good) };
    page.checkpoint.time += 1;
    assert!(matches!(foreign.apply_page(&page, &mut rand_core::OsRng), Err(AuditFault::Replay(_))));
}
