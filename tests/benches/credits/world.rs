//! A ledger around proofs that are only marked as good: these subjects are about everything but the proof.

use std::path::Path;
use std::sync::Arc;

use credits::checkpoint::ledger_id;
use credits::ledger::LEDGER_VERSION;
use credits::{
    Bytes32, Credits, Fe, Inner, LedgerError, LedgerInfo, Nullifier, ReserveRequest, Root, SigningKey, SpendContext,
    SpendProof, SpendPublic,
};
use ledger::{Clock, DurableLedger, LedgerIdentity, PostgresServer, SpendVerifier};

/// A time; it does not pass.
const NOW: u64 = 1_000_000;
const TAB_SECS: u64 = 600;
/// What each spend reserves.
pub(crate) const RESERVED: u64 = 1000;

pub(crate) struct Still;

impl Clock for Still {
    fn now(&self) -> u64 {
        NOW
    }
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(Still)
}

/// Takes every proof.
pub(crate) struct Believing;

impl SpendVerifier for Believing {
    fn verify_spends(&self, spends: &[(SpendPublic, SpendProof)]) -> Vec<Result<(), LedgerError>> {
        spends.iter().map(|_| Ok(())).collect()
    }
}

fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32])
}

pub(crate) fn admin_key() -> SigningKey {
    key(2)
}

/// The guardian's.
pub(crate) fn settle_key() -> SigningKey {
    key(3)
}

pub(crate) fn payee() -> Bytes32 {
    key(6).public()
}

pub(crate) fn info() -> LedgerInfo {
    let (ledger_key, vk_digest) = (key(1).public(), Bytes32([9; 32]));
    LedgerInfo {
        version: LEDGER_VERSION.to_owned(),
        ledger_id: ledger_id(ledger_key, vk_digest, None),
        ledger_key,
        admin_key: admin_key().public(),
        vk_digest,
        holds_value: false,
        setup: "single-party".to_owned(),
        merge: None,
        grace_secs: 60,
        root_window: 4096,
        tab_secs_max: TAB_SECS,
    }
}

pub(crate) fn identity() -> LedgerIdentity {
    LedgerIdentity::new(info(), key(1)).unwrap()
}

pub(crate) fn open_file(path: &Path) -> DurableLedger {
    DurableLedger::open_file(path, identity(), Believing, clock()).unwrap()
}

pub(crate) fn open_postgres(url: &str) -> DurableLedger {
    let server = PostgresServer::new(url, None).unwrap();
    DurableLedger::open_postgres(server, identity(), Believing, clock()).unwrap()
}

pub(crate) fn credits(value: u64) -> Credits {
    Credits::new(value).unwrap()
}

/// A field element for each number and kind, in the order of the numbers.
pub(crate) fn element(kind: u8, number: u64) -> Fe {
    let mut bytes = [kind; 32];
    // Neither end is high, whichever comes first.
    (bytes[0], bytes[31]) = (0, 0);
    bytes[1..9].copy_from_slice(&number.to_be_bytes());
    Fe::from_bytes(bytes).unwrap()
}

/// A spend of its own for each number.
pub(crate) fn spend(info: &LedgerInfo, root: Root, number: u64) -> ReserveRequest {
    ReserveRequest {
        root,
        nullifier: Nullifier(element(1, number)),
        inner_next: Inner(element(2, number)),
        c_max: credits(RESERVED),
        context: SpendContext {
            ledger_id: info.ledger_id,
            vk_digest: info.vk_digest,
            keyset_digest: Bytes32([5; 32]),
            settle_key: settle_key().public(),
            payee: payee(),
            price_sheet_digest: Bytes32([7; 32]),
            not_after: NOW + TAB_SECS,
            tab_key: Bytes32(*element(3, number).as_bytes()),
        },
        proof: SpendProof::from_bytes([1; 128]),
    }
}
