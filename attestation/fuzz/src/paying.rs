//! What wallets, ledgers and ceremonies send each other about credits.

use std::sync::OnceLock;

use ceremony::Zkey;
use credits::params::{MergeVerifyingParams, VerifyingParams};
use credits::{LogEntry, LogPage, ReserveRequest, SpendProof};

/// A key that one party made, and a spend that was proved under it.
const KEY: &[u8] = include_bytes!("../corpus/verifying_params/made");
const REQUEST: &[u8] = include_bytes!("../corpus/reserve_request/made");

struct Spend {
    key: VerifyingParams,
    request: ReserveRequest,
}

fn spend() -> &'static Spend {
    static SPEND: OnceLock<Spend> = OnceLock::new();
    SPEND.get_or_init(|| Spend {
        key: VerifyingParams::from_bytes(KEY).expect("invariant: the committed key is good"),
        request: serde_json::from_slice(REQUEST).expect("invariant: the committed request parses"),
    })
}

/// A proof as bytes, held against the spend, and as text.
pub(crate) fn spend_proof(data: &[u8]) {
    if let Some(bytes) = data.first_chunk() {
        let Spend { key, request } = spend();
        let verdict = key.verify(&request.public(), &SpendProof::from_bytes(*bytes));
        // A good proof can be written in other ways; the spend is the same.
        assert!(verdict.is_ok_and(|spend| *spend.public() == request.public()) || *bytes != *request.proof.as_bytes());
    }
    if let Some(proof) = std::str::from_utf8(data).ok().and_then(|text| text.parse::<SpendProof>().ok()) {
        assert_eq!(proof.to_string().parse(), Ok(proof), "a proof survives being written and read");
    }
}

pub(crate) fn verifying_params(data: &[u8]) {
    if let Ok(params) = VerifyingParams::from_bytes(data) {
        assert_eq!(params.to_bytes().as_slice(), data, "a key has one spelling");
    }
    if let Ok(params) = MergeVerifyingParams::from_bytes(data) {
        assert_eq!(params.to_bytes().as_slice(), data, "a key has one spelling");
    }
}

pub(crate) fn reserve_request(data: &[u8]) {
    let Ok(request) = serde_json::from_slice::<ReserveRequest>(data) else { return };
    let _ = (request.public(), LogEntry::Reserve(request.entry()).leaf_hash());
    let again = serde_json::to_vec(&request).ok().and_then(|text| serde_json::from_slice(&text).ok());
    assert_eq!(again, Some(request), "a request survives being written and read");
}

pub(crate) fn log_page(data: &[u8]) {
    let Ok(page) = serde_json::from_slice::<LogPage>(data) else { return };
    for entry in &page.entries {
        let _ = (entry.leaf_hash(), entry.appended_note());
    }
    let again = serde_json::to_vec(&page).ok().and_then(|text| serde_json::from_slice(&text).ok());
    assert_eq!(again, Some(page), "a page survives being written and read");
}

/// A ceremony's key, of any circuit.
pub(crate) fn zkey(data: &[u8]) {
    let Ok(key) = Zkey::from_bytes(data) else { return };
    let bytes = key.to_bytes();
    let again = Zkey::from_bytes(&bytes).map(|key| key.to_bytes());
    assert!(again.is_ok_and(|again| again == bytes), "a key survives being written and read");
}
