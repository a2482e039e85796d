//! What the suite's cases need whatever ledger they run on: a clock that is set by hand, proofs that are only marked as good or
//! bad, and requests. Nothing here knows a store: the contracts' tests on an EVM include this file too.
//!
//! Who includes it says what a `Home` is: what must be there for as long as the ledger is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use credits::checkpoint::ledger_id;
use credits::ledger::LEDGER_VERSION;
use credits::{
    Bytes32, Credits, Fe, Inner, JournalRequest, Ledger, LedgerInfo, MergeInfo, MintOutput, NotePublicKey, Nullifier,
    RedeemRequest, ReserveRequest, Root, SettleRequest, SigningKey, SpendContext, SpendProof, Voucher, journal_message,
    settle_message,
};

use super::Home;

pub(crate) const START: u64 = 1_000_000;
pub(crate) const TAB_SECS_MAX: u64 = 600;
pub(crate) const GRACE_SECS: u64 = 60;
pub(crate) const ROOT_WINDOW: u64 = 8;
/// Of the key of merges: no proof of a merge is real in these tests.
const MERGE_VK_DIGEST: Bytes32 = Bytes32([10; 32]);

/// A clock that stands still until it is moved.
pub(crate) struct TestClock(AtomicU64);

impl TestClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(START)))
    }

    pub(crate) fn advance(&self, secs: u64) {
        self.0.fetch_add(secs, Ordering::SeqCst);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

pub(crate) fn good_proof() -> SpendProof {
    SpendProof::from_bytes([1; 128])
}

/// Another good proof of the same, as re-randomising makes one.
pub(crate) fn other_good_proof() -> SpendProof {
    let mut bytes = [1; 128];
    bytes[127] = 2;
    SpendProof::from_bytes(bytes)
}

pub(crate) fn bad_proof() -> SpendProof {
    SpendProof::from_bytes([2; 128])
}

pub(crate) fn ledger_key() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

pub(crate) fn admin_key() -> SigningKey {
    SigningKey::from_seed(&[2; 32])
}

/// The receipt key of the guardian in these tests.
pub(crate) fn settle_key() -> SigningKey {
    SigningKey::from_seed(&[3; 32])
}

/// The key of whoever is paid in these tests.
pub(crate) fn payee_key() -> SigningKey {
    SigningKey::from_seed(&[6; 32])
}

pub(crate) fn info(vk_digest: Bytes32) -> LedgerInfo {
    let ledger_key = ledger_key().public();
    LedgerInfo {
        version: LEDGER_VERSION.to_owned(),
        ledger_id: ledger_id(ledger_key, vk_digest, Some(MERGE_VK_DIGEST)),
        ledger_key,
        admin_key: admin_key().public(),
        vk_digest,
        holds_value: false,
        setup: "single-party".to_owned(),
        grace_secs: GRACE_SECS,
        root_window: ROOT_WINDOW,
        tab_secs_max: TAB_SECS_MAX,
        merge: Some(MergeInfo { vk_digest: MERGE_VK_DIGEST, setup: "single-party".to_owned() }),
    }
}

pub(crate) fn credits(value: u64) -> Credits {
    Credits::new(value).unwrap()
}

/// A ledger under test and what surrounds it.
pub(crate) struct World<L> {
    pub(crate) ledger: Arc<L>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) info: LedgerInfo,
    pub(crate) home: Home,
}

impl<L: Ledger> World<L> {
    pub(crate) fn voucher(&self, number: u8, value: u64) -> Voucher {
        Voucher::issue(&admin_key(), self.info.ledger_id, Bytes32([number; 32]), credits(value))
    }

    /// Mints one note of some value, so that there is a root to spend under.
    pub(crate) async fn mint(&self, number: u8, value: u64) {
        let request = RedeemRequest { voucher: self.voucher(number, value).to_text(), outputs: vec![output(1, value)] };
        self.ledger.redeem(request).await.unwrap();
    }

    pub(crate) async fn root(&self) -> Root {
        self.ledger.checkpoint(0).await.unwrap().checkpoint.note_root
    }

    pub(crate) async fn log_size(&self) -> u64 {
        self.ledger.checkpoint(0).await.unwrap().checkpoint.log_size
    }

    /// A spend of its own for every number, under the current root.
    pub(crate) async fn spend(&self, number: u64, c_max: u64) -> ReserveRequest {
        self.spend_under(self.root().await, number, c_max)
    }

    pub(crate) fn spend_under(&self, root: Root, number: u64, c_max: u64) -> ReserveRequest {
        let mut tab_key = Bytes32([4; 32]);
        tab_key.0[..8].copy_from_slice(&number.to_be_bytes());
        ReserveRequest {
            root,
            nullifier: Nullifier(Fe::from(1_000 + number)),
            inner_next: Inner(Fe::from(2_000_000 + number)),
            c_max: credits(c_max),
            context: SpendContext {
                ledger_id: self.info.ledger_id,
                vk_digest: self.info.vk_digest,
                keyset_digest: Bytes32([5; 32]),
                settle_key: settle_key().public(),
                payee: payee_key().public(),
                price_sheet_digest: Bytes32([7; 32]),
                not_after: self.clock.read() + TAB_SECS_MAX,
                tab_key,
            },
            proof: good_proof(),
        }
    }

    pub(crate) fn journal(&self, spend: &ReserveRequest, total: u64) -> JournalRequest {
        journal(&self.info, &spend.nullifier, total)
    }

    pub(crate) fn settle(&self, spend: &ReserveRequest, charge: u64) -> SettleRequest {
        settle(&self.info, &spend.nullifier, charge)
    }
}

pub(crate) fn journal(info: &LedgerInfo, nullifier: &Nullifier, total: u64) -> JournalRequest {
    let signature = settle_key().sign(&journal_message(&info.ledger_id, nullifier, credits(total)));
    JournalRequest { nullifier: *nullifier, total: credits(total), signature }
}

pub(crate) fn settle(info: &LedgerInfo, nullifier: &Nullifier, charge: u64) -> SettleRequest {
    let signature = settle_key().sign(&settle_message(&info.ledger_id, nullifier, credits(charge)));
    SettleRequest { nullifier: *nullifier, charge: credits(charge), signature }
}

pub(crate) fn output(number: u64, value: u64) -> MintOutput {
    MintOutput { pk: NotePublicKey(Fe::from(100 + number)), value: credits(value), b: Fe::from(200 + number) }
}
