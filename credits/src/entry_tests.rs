//! Hashed and signed strings of a ledger, byte for byte.
//!
//! The expected values were made apart from this crate, with Python's `hashlib` and PyPI `cryptography` 48.0.0, from
//! `docs/protocol.md` alone: `lp(x) = len(x).to_bytes(4,'big') + x`, numbers as eight big-endian bytes, key seed 07…07.

use super::*;
use crate::checkpoint::{Checkpoint, UnsignedCheckpoint, ledger_id};
use crate::fault::{Evidence, Said};
use crate::keys::SigningKey;
use crate::ledger::{journal_message, settle_message};
use crate::note::mint_rho;
use crate::settlement::{SETTLEMENT_VERSION, Settlement};
use crate::stake::StakeAct;
use crate::voucher::Voucher;

fn b32(byte: u8) -> Bytes32 {
    Bytes32([byte; 32])
}

fn credits(value: u64) -> Credits {
    Credits::new(value).unwrap()
}

fn fe(value: u64) -> Fe {
    Fe::from(value)
}

fn entries() -> Vec<(LogEntry, &'static str)> {
    let settle = |by, signature| SettleEntry {
        nullifier: Nullifier(fe(1)),
        charge: credits(2),
        refund: credits(3),
        leaf_index: 4,
        leaf: Leaf(fe(5)),
        by,
        signature,
    };
    let mint = MintEntry {
        mint_seq: 1,
        value: credits(2),
        pk: NotePublicKey(fe(3)),
        rho: fe(4),
        b: fe(5),
        leaf_index: 6,
        leaf: Leaf(fe(7)),
        voucher_id: b32(8),
    };
    let reserve = ReserveEntry {
        root: Root(fe(1)),
        nullifier: Nullifier(fe(2)),
        inner_next: Inner(fe(3)),
        c_max: credits(4),
        context: SpendContext {
            ledger_id: b32(1),
            vk_digest: b32(2),
            keyset_digest: b32(3),
            settle_key: b32(4),
            payee: b32(5),
            price_sheet_digest: b32(6),
            not_after: 7,
            tab_key: b32(8),
        },
        proof: SpendProof::from_bytes([9; 128]),
    };
    let journal = JournalEntry { nullifier: Nullifier(fe(1)), total: credits(2), signature: SignatureBytes([3; 64]) };
    let void = VoidEntry { nullifier: Nullifier(fe(1)), refund: credits(2), leaf_index: 3, leaf: Leaf(fe(4)) };
    let claim = ClaimEntry {
        payee: b32(5),
        claim_seq: 2,
        mint_seq: 1,
        value: credits(3),
        pk: NotePublicKey(fe(4)),
        rho: fe(5),
        b: fe(6),
        leaf_index: 7,
        leaf: Leaf(fe(8)),
        signature: SignatureBytes([9; 64]),
    };
    let merge = MergeEntry {
        root: Root(fe(1)),
        nullifiers: [Nullifier(fe(2)), Nullifier(fe(3))],
        inner_next: Inner(fe(4)),
        leaf_index: 5,
        leaf: Leaf(fe(6)),
        proof: SpendProof::from_bytes([9; 128]),
    };
    let rating = RatingEntry { nullifier: Nullifier(fe(1)), score: 4, signature: SignatureBytes([3; 64]) };
    let signature = Some(SignatureBytes([6; 64]));
    let mut entries = standing();
    entries.extend([
        (LogEntry::Mint(mint), "b0e22680ce2bace872164e0f8238614315333bc9f8d7f409ff7c1780ae38222b"),
        (LogEntry::Reserve(reserve), "d47d1e8c8bfea076d48d65b3961f9a72ce2ec830d5ccc5c5adeca267a6f3f4cf"),
        (LogEntry::Journal(journal), "5520de31064a3e4153798c1de547496b956acb109379a9e184957038dc6eee76"),
        (
            LogEntry::Settle(settle(SettledBy::Guardian, signature)),
            "d6d6dd9b46562617a8eb4326b416897ce7f2101173fa7159ab2d974859f7e20c",
        ),
        (
            LogEntry::Settle(settle(SettledBy::Ledger, None)),
            "6fed42bf22f10317230cd29d5d4d46849b32d54ee0b00e30c2580cce75fcba12",
        ),
        (LogEntry::Void(void), "2629911cf0a8bedd8e54c30a07178030f5164f4cb3ad14035b0ab8d5e4980502"),
        (LogEntry::Claim(claim), "3ec142d61f8580e351e3b1b725ff7c980d5987ee92a128641befb599747675a5"),
        (LogEntry::Merge(merge), "c3030f89aea1b87f9fc95436ced7eb0e7d54565fc5967584d04b9b41b65129b2"),
        (LogEntry::Rating(rating), "f8eda4712c888165e5ba4addcbdf472da18a690cfe78403f6cd797b24c42432f"),
    ]);
    entries
}

/// Acts on a stake, and what loses one.
fn standing() -> Vec<(LogEntry, &'static str)> {
    let stake =
        |act| LogEntry::Stake(StakeEntry { payee: b32(1), seq: 2, act, at: 3, signature: SignatureBytes([9; 64]) });
    let settlement = Settlement {
        version: SETTLEMENT_VERSION.to_owned(),
        ledger_id: b32(1),
        nullifier: Nullifier(fe(2)),
        reserve: credits(10),
        charge: credits(3),
        refund: credits(7),
        leaf: Leaf(fe(4)),
        leaf_index: 5,
        entry_index: 6,
        requests: 7,
        keyset_digest: b32(8),
    };
    let bill = || Said::Bill { settlement: Box::new(settlement.clone()), signature: SignatureBytes([9; 64]) };
    let (nullifier, amount) = (Nullifier(fe(2)), credits(4));
    let total = Said::Total { nullifier, total: amount, signature: SignatureBytes([10; 64]) };
    let charge = Said::Charge { nullifier, charge: amount, signature: SignatureBytes([11; 64]) };
    let head = |text: &str| Said::Head { text: text.to_owned(), signature: SignatureBytes([12; 64]) };
    let slash = |first, second| {
        let evidence = Evidence { first, second };
        let (payee, settle_key, reporter) = (b32(1), b32(2), b32(3));
        let (amount, reward) = (credits(100), credits(5));
        LogEntry::Slash(SlashEntry { payee, settle_key, evidence, reporter, at: 4, amount, reward })
    };
    vec![
        (
            stake(StakeAct::Put { amount: credits(4) }),
            "30ce35349a97c1f1100d29e476f24e8e5b349cf1e5ac93c8522139e355706366",
        ),
        (
            stake(StakeAct::Back { settle_key: b32(5), until: 6 }),
            "ee5c828ca6a8cef09a7c3a9ea3f00178c07f2e4ab18f9a5b9870035ea0e4392f",
        ),
        (stake(StakeAct::Take {}), "1d2b524521e05348d39f720aa5644b24c6accf45b231f94ff5d7aa72287977a4"),
        (slash(bill(), total), "5c8e1c81e34ee7c640b761d0377d69300f21976176a89250aa7e28ef25e7d377"),
        (slash(charge, bill()), "96b275e6443a6a6b582d89e4b50bb852d8e8917d0064a498c50f85609a6e236d"),
        (
            slash(head("a\n1\nb\n"), head("c\n2\nd\n")),
            "018a055456a3788016f43d5b3ef1ceb72433b069d0fd424ed072df99bd075aa9",
        ),
    ]
}

#[test]
fn leaf_hashes_of_entries() {
    for (entry, expected) in entries() {
        assert_eq!(hex::encode(entry.leaf_hash()), expected, "{entry:?}");
    }
}

#[test]
fn entries_survive_transport_and_refuse_unknown_members() {
    for (entry, _) in entries() {
        let mut json = serde_json::to_value(&entry).unwrap();
        assert_eq!(serde_json::from_value::<LogEntry>(json.clone()).unwrap(), entry);
        json["surprise"] = 1.into();
        let error = serde_json::from_value::<LogEntry>(json).unwrap_err();
        assert!(error.to_string().contains("unknown field"), "{error}");
    }
}

/// Wallets take pages of a thousand entries and four mebibytes: what is in the log must fit, whoever put it there.
#[test]
fn a_page_has_room_for_a_thousand_of_the_longest_entries() {
    let nullifier = Nullifier(Fe::from_digest(Bytes32([0xff; 32])));
    let settlement = Settlement {
        version: SETTLEMENT_VERSION.to_owned(),
        ledger_id: b32(0xff),
        nullifier,
        reserve: Credits::MAX,
        charge: Credits::MAX,
        refund: Credits::MAX,
        leaf: Leaf(nullifier.0),
        leaf_index: u64::MAX,
        entry_index: u64::MAX,
        requests: u64::MAX,
        keyset_digest: b32(0xff),
    };
    let signature = SignatureBytes([0xff; 64]);
    let bill = || Said::Bill { settlement: Box::new(settlement.clone()), signature };
    // The longest that reads as a head; another form of it is not taken.
    let text = format!("{}\n{}\n{}\nround {}\n", "n".repeat(128), u64::MAX, "A".repeat(43) + "=", "f".repeat(64));
    let head = || Said::Head { text: text.clone(), signature };
    let slash = |first, second| {
        let (payee, settle_key, reporter) = (b32(1), b32(2), b32(3));
        let evidence = Evidence { first, second };
        let (amount, reward) = (Credits::MAX, Credits::MAX);
        LogEntry::Slash(SlashEntry { payee, settle_key, evidence, reporter, at: u64::MAX, amount, reward })
    };
    let longest = entries().into_iter().map(|(entry, _)| entry).chain([slash(bill(), bill()), slash(head(), head())]);
    let longest = longest.map(|entry| serde_json::to_string(&entry).unwrap().len()).max().unwrap();
    assert!((1_500..2_500).contains(&longest), "{longest}");
    assert!(longest * 1_000 < (4 << 20) - 4_096, "{longest}");
}

#[test]
fn signatures_and_ids() {
    let key = SigningKey::from_seed(&[7; 32]);
    let unsigned = UnsignedCheckpoint {
        ledger_id: b32(1),
        log_size: 2,
        log_root: b32(3),
        note_count: 4,
        note_root: Root(fe(5)),
        time: 6,
    };
    let nullifier = Nullifier(fe(2));
    let table = [
        (
            Checkpoint::sign(unsigned, &key).signature,
            "cdbfa8cbc303a2fd6c2b86e97fddd014d0c27022ee06a74d295f9d4080cae3b6\
             49dcba45881c09f1ee80f5e6d155365247eb3472668bb652036327a2c6585709",
        ),
        (
            Voucher::issue(&key, b32(1), b32(2), credits(5000)).signature,
            "9389efc735c2094a2d124471e2ba1cfa747d143dd0b5ef868380befff311926f\
             b33adc5555573e28d10caf120d287c42834b08b6a2a82ca96b9e16a785b1a20e",
        ),
        (
            key.sign(&journal_message(&b32(1), &nullifier, credits(3))),
            "eecd507b2af43eb640da7555c9b89986318d309b43e530d4ae88feb28c70baee\
             62e8fbe0eca087e11aac0d20fbe73b3b1b803949ec3795b15f169d6837808d04",
        ),
        (
            key.sign(&settle_message(&b32(1), &nullifier, credits(3))),
            "388823eee4f6744c059a4bedb854db7049c3bdf50b63896e42a753a0c4fac554\
             4873d07c4cfb0297467d994da37a4ca7d4fd4a110543931c47c118a9a53ccf02",
        ),
    ];
    for (signature, expected) in table {
        assert_eq!(signature.to_string(), expected);
    }
    let id = "3d8749173dbbccf595118aacc6c5e9bdd238f722b13d60f5f52b47b1b8323092";
    assert_eq!(ledger_id(b32(1), b32(2), None).to_string(), id);
    let with_merges = "a099ebf27043da0605ff17ace63f182fbdee6f3eb7b12a5e7010401b1a3f2b6f";
    assert_eq!(ledger_id(b32(1), b32(2), Some(b32(3))).to_string(), with_merges);
    // ef with the top three bits cleared is 0f.
    let rho = "0f2d04f2fb824a712858d9694c9dd980527c96c9d73216b7f2abf7b7d9f0d4e1";
    assert_eq!(mint_rho(b32(1), 2).to_string(), rho);
}
