//! One honest log, one fault per row, and the exact refusal. The wallet is unchanged by every refused page.

use super::fake::{FakeLedger, SEED, inputs};
use super::{amounts, funded};
use crate::bytes::Bytes32;
use crate::checkpoint::UnsignedCheckpoint;
use crate::entry::{LogEntry, SettledBy, VoidEntry};
use crate::fixture::credits;
use crate::ledger::LogPage;
use crate::note::{Inner, Leaf, Root};
use crate::wallet::{EntryFault, Wallet, WalletError, WalletSeed};
use crate::{Fe, SignatureBytes};

// Where the entries of `history` are.
const MINT: usize = 1;
const RESERVE: usize = 2;
const JOURNAL: usize = 3;
const JOURNAL_2: usize = 4;
const SETTLE: usize = 5;
const RESERVE_2: usize = 6;
const VOID: usize = 7;

/// Two mints, a spend that is journalled twice and settled, a spend that is voided.
fn history() -> FakeLedger {
    let mut ledger = FakeLedger::new();
    let mut wallet = funded(&mut ledger, 1_000, 2);
    let spend = wallet.prepare_spend(credits(256), inputs(&ledger, 500)).unwrap();
    ledger.reserve(&spend).unwrap();
    ledger.journal(spend.public.nullifier, credits(10));
    ledger.journal(spend.public.nullifier, credits(20));
    ledger.settle(spend.public.nullifier, credits(56));
    ledger.sync(&mut wallet);
    let spend = wallet.prepare_spend(credits(400), inputs(&ledger, 500)).unwrap();
    ledger.reserve(&spend).unwrap();
    ledger.void(spend.public.nullifier);
    ledger
}

fn stranger() -> Wallet {
    Wallet::new(WalletSeed::from_bytes([0xaa; 32]), &FakeLedger::new().info())
}

fn owner() -> Wallet {
    Wallet::new(WalletSeed::from_bytes(SEED), &FakeLedger::new().info())
}

/// Applies a page to a wallet that must refuse it and stay as it was.
fn refusal(wallet: &mut Wallet, page: &LogPage) -> WalletError {
    let before = serde_json::to_string(wallet.state()).unwrap();
    let refused = wallet.apply_page(page).unwrap_err();
    assert_eq!(serde_json::to_string(wallet.state()).unwrap(), before);
    refused
}

macro_rules! edit {
    ($kind:ident, $entry:ident => $change:expr) => {
        |entry: &mut LogEntry| {
            let LogEntry::$kind($entry) = entry else { panic!("another kind of entry") };
            $change
        }
    };
}

type Row = (usize, fn(&mut LogEntry), EntryFault);

const EVERYONE_REFUSES: &[Row] = &[
    (MINT, edit!(Mint, entry => entry.mint_seq = 2), EntryFault::MintSequence { expected: 1, got: 2 }),
    (MINT, edit!(Mint, entry => entry.mint_seq = 0), EntryFault::MintSequence { expected: 1, got: 0 }),
    (MINT, edit!(Mint, entry => entry.rho = Fe::from(1)), EntryFault::MintRho),
    (MINT, edit!(Mint, entry => entry.value = credits(501)), EntryFault::Leaf),
    (MINT, edit!(Mint, entry => entry.b = Fe::from(1)), EntryFault::Leaf),
    (MINT, edit!(Mint, entry => entry.leaf = Leaf(Fe::from(1))), EntryFault::Leaf),
    (MINT, edit!(Mint, entry => entry.leaf_index = 2), EntryFault::LeafIndex { expected: 1, got: 2 }),
    (RESERVE, edit!(Reserve, entry => entry.context.ledger_id = Bytes32([1; 32])), EntryFault::Context),
    (RESERVE, edit!(Reserve, entry => entry.context.vk_digest = Bytes32([1; 32])), EntryFault::Context),
    (JOURNAL, edit!(Journal, entry => entry.nullifier = Fe::from(1).into()), EntryFault::SpendUnknown),
    (JOURNAL, edit!(Journal, entry => entry.total = credits(257)), EntryFault::JournalTotal),
    (JOURNAL_2, edit!(Journal, entry => entry.total = credits(9)), EntryFault::JournalTotal),
    (JOURNAL, edit!(Journal, entry => entry.total = credits(11)), EntryFault::Signature),
    (JOURNAL, edit!(Journal, entry => entry.signature = SignatureBytes([0; 64])), EntryFault::Signature),
    (SETTLE, edit!(Settle, entry => entry.nullifier = Fe::from(1).into()), EntryFault::SpendUnknown),
    (SETTLE, edit!(Settle, entry => entry.charge = credits(57)), EntryFault::RefundSum),
    (SETTLE, edit!(Settle, entry => entry.refund = credits(201)), EntryFault::RefundSum),
    (SETTLE, edit!(Settle, entry => (entry.charge, entry.refund) = (credits(57), credits(199))), EntryFault::Signature),
    (
        SETTLE,
        edit!(Settle, entry => (entry.charge, entry.refund) = (credits(19), credits(237))),
        EntryFault::ChargeJournal,
    ),
    (SETTLE, edit!(Settle, entry => entry.signature = None), EntryFault::Signature),
    (SETTLE, edit!(Settle, entry => entry.by = SettledBy::Ledger), EntryFault::Signature),
    (
        SETTLE,
        edit!(Settle, entry => (entry.by, entry.signature) = (SettledBy::Ledger, None)),
        EntryFault::ChargeJournal,
    ),
    (SETTLE, edit!(Settle, entry => entry.leaf = Leaf(Fe::from(1))), EntryFault::Leaf),
    (SETTLE, edit!(Settle, entry => entry.leaf_index = 3), EntryFault::LeafIndex { expected: 2, got: 3 }),
    (VOID, edit!(Void, entry => entry.nullifier = Fe::from(1).into()), EntryFault::SpendUnknown),
    (VOID, edit!(Void, entry => entry.refund = credits(399)), EntryFault::RefundSum),
    (VOID, edit!(Void, entry => entry.refund = credits(401)), EntryFault::RefundSum),
    (VOID, edit!(Void, entry => entry.leaf = Leaf(Fe::from(1))), EntryFault::Leaf),
    (VOID, edit!(Void, entry => entry.leaf_index = 2), EntryFault::LeafIndex { expected: 3, got: 2 }),
];

#[test]
fn entries_that_break_a_rule_are_refused_by_everyone() {
    let ledger = history();
    for (at, (index, change, fault)) in EVERYONE_REFUSES.iter().enumerate() {
        let mut page = ledger.page(0, 100);
        change(&mut page.entries[*index]);
        let expected = WalletError::EntryInvalid { index: u64::try_from(*index).unwrap(), fault: *fault };
        assert_eq!(refusal(&mut owner(), &page), expected, "row {at}");
        assert_eq!(refusal(&mut stranger(), &page), expected, "row {at}");
    }
    assert_eq!(owner().apply_page(&ledger.page(0, 100)).unwrap().remaining, 0);
    assert_eq!(stranger().apply_page(&ledger.page(0, 100)).unwrap().remaining, 0);
}

#[test]
fn a_spend_happens_once() {
    let ledger = history();
    let insert = |at: usize, entry: LogEntry| {
        let mut page = ledger.page(0, 100);
        page.entries.insert(at, entry);
        page.checkpoint = ledger.sign(UnsignedCheckpoint { log_size: 9, ..ledger.unsigned() });
        refusal(&mut owner(), &page)
    };
    let entry = |at: usize| ledger.entries[at].clone();
    let repeated = insert(RESERVE + 1, entry(RESERVE));
    assert_eq!(repeated, WalletError::EntryInvalid { index: 3, fault: EntryFault::SpendRepeated });
    let unknown = |index| WalletError::EntryInvalid { index, fault: EntryFault::SpendUnknown };
    assert_eq!(insert(SETTLE + 1, entry(SETTLE)), unknown(6));
    assert_eq!(insert(VOID + 1, entry(VOID)), unknown(8));
    assert_eq!(insert(SETTLE + 1, entry(JOURNAL_2)), unknown(6));
    // Journalled spends are not voided: the last total is owed.
    let LogEntry::Settle(settled) = entry(SETTLE) else { panic!("another kind of entry") };
    let LogEntry::Reserve(reserved) = entry(RESERVE) else { panic!("another kind of entry") };
    let (leaf_index, refund) = (settled.leaf_index, credits(256));
    let leaf = crate::note::leaf(reserved.inner_next, refund);
    let void = LogEntry::Void(VoidEntry { nullifier: settled.nullifier, refund, leaf_index, leaf });
    let refused = insert(SETTLE, void);
    assert_eq!(refused, WalletError::EntryInvalid { index: 5, fault: EntryFault::ChargeJournal });
}

#[test]
fn the_owner_knows_its_successor() {
    let ledger = history();
    let faults: [fn(&mut LogEntry); 3] = [
        edit!(Reserve, entry => entry.inner_next = Inner(Fe::from(1))),
        edit!(Reserve, entry => entry.c_max = credits(255)),
        edit!(Reserve, entry => entry.c_max = credits(100_000)),
    ];
    for (at, change) in faults.iter().enumerate() {
        for index in [RESERVE, RESERVE_2] {
            let mut page = ledger.page(0, 100);
            change(&mut page.entries[index]);
            let refused = refusal(&mut owner(), &page);
            let index = u64::try_from(index).unwrap();
            assert_eq!(refused, WalletError::EntryInvalid { index, fault: EntryFault::Successor }, "row {at}");
        }
    }
}

#[test]
fn what_no_rule_covers_the_checkpoint_does() {
    let ledger = history();
    let mut page = ledger.page(0, 100);
    let LogEntry::Mint(entry) = &mut page.entries[MINT] else { panic!("another kind of entry") };
    entry.voucher_id = Bytes32([1; 32]);
    assert_eq!(refusal(&mut owner(), &page), WalletError::LedgerFork { size: 8 });

    let lies: [fn(&mut UnsignedCheckpoint); 3] = [
        |checkpoint| checkpoint.log_root = Bytes32([1; 32]),
        |checkpoint| checkpoint.note_root = Root(Fe::from(1)),
        |checkpoint| checkpoint.note_count += 1,
    ];
    for (at, lie) in lies.iter().enumerate() {
        let mut unsigned = ledger.unsigned();
        lie(&mut unsigned);
        let page = LogPage { checkpoint: ledger.sign(unsigned), ..ledger.page(0, 100) };
        assert_eq!(refusal(&mut owner(), &page), WalletError::LedgerFork { size: 8 }, "lie {at}");
    }
}

#[test]
fn checkpoints_of_others_are_refused() {
    let ledger = history();
    let mut page = ledger.page(0, 100);
    page.checkpoint.signature.0[0] ^= 1;
    assert_eq!(refusal(&mut owner(), &page), WalletError::CheckpointSignature);
    let mut page = ledger.page(0, 100);
    page.checkpoint.time += 1;
    assert_eq!(refusal(&mut owner(), &page), WalletError::CheckpointSignature);
    let other = FakeLedger::with_vk(Bytes32([1; 32]));
    let page = LogPage { checkpoint: other.checkpoint(), entries: Vec::new() };
    assert_eq!(refusal(&mut owner(), &page), WalletError::LedgerMismatch);
    // An id that does not follow from the keys is never accepted, even when the ledger says so everywhere.
    let mut info = ledger.info();
    info.vk_digest = Bytes32([1; 32]);
    let mut wallet = Wallet::new(WalletSeed::from_bytes(SEED), &info);
    assert_eq!(refusal(&mut wallet, &ledger.page(0, 100)), WalletError::LedgerMismatch);
}

#[test]
fn a_ledger_does_not_go_back_or_fork() {
    let ledger = history();
    let mut wallet = owner();
    wallet.apply_page(&ledger.page(0, 100)).unwrap();

    let mut older = FakeLedger::new();
    funded(&mut older, 1_000, 2);
    let refused = refusal(&mut wallet, &older.page(0, 0));
    assert_eq!(refused, WalletError::LedgerRollback { seen: 8, got: 2 });

    // As long, but another history: here every mint is of another amount.
    let mut fork = FakeLedger::new();
    funded(&mut fork, 88, 8);
    assert_eq!(refusal(&mut wallet, &fork.page(8, 100)), WalletError::LedgerFork { size: 8 });
    // Longer, and its later entries look right on their own.
    let outputs = owner().deposit_outputs(credits(8), 8).unwrap();
    fork.redeem(&outputs);
    let refused = refusal(&mut wallet, &fork.page(8, 100));
    let fault = EntryFault::MintSequence { expected: 2, got: 8 };
    assert_eq!(refused, WalletError::EntryInvalid { index: 8, fault });
    assert_eq!(amounts(wallet.balance()), [944, 0, 0]);
}

#[test]
fn a_checkpoint_seen_once_binds_later_pages() {
    let ledger = history();
    let mut wallet = owner();
    // Seen in some receipt, before any entry was fetched; then the ledger shows a shorter, or another, history.
    wallet.observe(&ledger.checkpoint()).unwrap();
    let mut older = FakeLedger::new();
    funded(&mut older, 1_000, 2);
    let refused = refusal(&mut wallet, &older.page(0, 100));
    assert_eq!(refused, WalletError::LedgerRollback { seen: 8, got: 2 });
    let mut fork = FakeLedger::new();
    funded(&mut fork, 88, 8);
    let outputs = owner().deposit_outputs(credits(8), 8).unwrap();
    fork.redeem(&outputs);
    assert_eq!(refusal(&mut wallet, &fork.page(0, 100)), WalletError::LedgerFork { size: 8 });
    assert_eq!(wallet.apply_page(&ledger.page(0, 100)).unwrap().remaining, 0);
    assert_eq!(wallet.observe(&older.checkpoint()), Err(WalletError::LedgerRollback { seen: 8, got: 2 }));
}

#[test]
fn pages_and_checkpoints_belong_together() {
    let ledger = history();
    let mut shorter = FakeLedger::new();
    funded(&mut shorter, 1_000, 2);
    let page = LogPage { checkpoint: shorter.checkpoint(), ..ledger.page(0, 3) };
    assert_eq!(refusal(&mut owner(), &page), WalletError::PageExcess);
    assert_eq!(refusal(&mut owner(), &ledger.page(8, 100)), WalletError::PageEmpty { remaining: 8 });
    // A page from another place does not fit.
    let fault = EntryFault::MintSequence { expected: 0, got: 1 };
    let refused = refusal(&mut owner(), &ledger.page(1, 3));
    assert_eq!(refused, WalletError::EntryInvalid { index: 0, fault });
}

#[test]
fn a_stored_state_must_be_the_wallets() {
    let ledger = history();
    let mut wallet = owner();
    wallet.apply_page(&ledger.page(0, 100)).unwrap();
    let stored = serde_json::to_value(wallet.state()).unwrap();
    let load = |stored: &serde_json::Value, seed: [u8; 32]| {
        let state = serde_json::from_value(stored.clone()).unwrap();
        Wallet::from_state(WalletSeed::from_bytes(seed), state).map(|wallet| amounts(wallet.balance()))
    };
    assert_eq!(load(&stored, SEED), Ok([944, 0, 0]));
    assert_eq!(load(&stored, [1; 32]), Err(WalletError::SeedMismatch));

    let edited = |pointer: &str, value: serde_json::Value| {
        let mut stored = stored.clone();
        *stored.pointer_mut(pointer).unwrap() = value;
        stored
    };
    let newer = edited("/format", "cloister/wallet/v2".into());
    assert_eq!(load(&newer, SEED), Err(WalletError::Format { got: "cloister/wallet/v2".to_owned() }));
    for (pointer, value) in [
        ("/notes/0/note/value", 1_000_000.into()),
        ("/notes/0/leaf_index", 0.into()),
        ("/notes/0/leaf_index", 99.into()),
        ("/notes/0/nullifier", "00".repeat(32).into()),
        ("/tree", "".into()),
    ] {
        assert_eq!(load(&edited(pointer, value), SEED), Err(WalletError::StateCorrupt), "{pointer}");
    }
    let mut unknown = stored.clone();
    unknown["expiry"] = 0.into();
    let error = serde_json::from_value::<crate::wallet::WalletState>(unknown).unwrap_err().to_string();
    assert!(error.starts_with("unknown field `expiry`"), "{error}");
    for (tree, message) in [
        ("ab", "the leaves are not whole".to_owned()),
        (&"ff".repeat(32), "a field element must be below the modulus".to_owned()),
    ] {
        let error = serde_json::from_value::<crate::wallet::WalletState>(edited("/tree", tree.into())).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}
