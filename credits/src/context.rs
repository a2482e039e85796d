//! What a spend is bound to: one ledger, one guardian boot, one payee, one price list, one reserve, one deadline and one
//! tab key. `docs/protocol.md` §3.3.
//!
//! Guardians and ledgers recompute the digest from their own values; no digest is ever taken from the wire.

use serde::{Deserialize, Serialize};

use crate::bytes::{Bytes32, LengthPrefixed};
use crate::field::Fe;
use crate::hash::sha256;
use crate::value::Credits;

/// The context of a spend, without its amount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpendContext {
    /// The ledger that records the spend.
    pub ledger_id: Bytes32,
    /// SHA-256 of the verifying key that judges the proof.
    pub vk_digest: Bytes32,
    /// The keyset of the guardian boot that is paid: no other boot can use the proof.
    pub keyset_digest: Bytes32,
    /// The guardian's Ed25519 receipt key: it alone may journal and settle this spend.
    pub settle_key: Bytes32,
    /// Whom the operator wants credited.
    pub payee: Bytes32,
    /// SHA-256 of the JCS form of the offer.
    pub price_sheet_digest: Bytes32,
    /// After this Unix time, in seconds, the spend can no longer be reserved.
    pub not_after: u64,
    /// The one-time Ed25519 key that signs the tab's requests.
    pub tab_key: Bytes32,
}

/// A [`SpendContext`] before the wallet adds its tab key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpendContextInputs {
    /// See [`SpendContext::ledger_id`].
    pub ledger_id: Bytes32,
    /// See [`SpendContext::vk_digest`].
    pub vk_digest: Bytes32,
    /// See [`SpendContext::keyset_digest`].
    pub keyset_digest: Bytes32,
    /// See [`SpendContext::settle_key`].
    pub settle_key: Bytes32,
    /// See [`SpendContext::payee`].
    pub payee: Bytes32,
    /// See [`SpendContext::price_sheet_digest`].
    pub price_sheet_digest: Bytes32,
    /// See [`SpendContext::not_after`].
    pub not_after: u64,
}

impl SpendContextInputs {
    /// The context for one tab key.
    pub fn with_tab_key(self, tab_key: Bytes32) -> SpendContext {
        let Self { ledger_id, vk_digest, keyset_digest, settle_key, payee, price_sheet_digest, not_after } = self;
        SpendContext { ledger_id, vk_digest, keyset_digest, settle_key, payee, price_sheet_digest, not_after, tab_key }
    }
}

impl SpendContext {
    /// Whether it names no guardian: it is a withdrawal's, which nobody serves.
    pub fn names_no_guardian(&self) -> bool {
        self.keyset_digest == Bytes32::default()
    }

    /// `ctx` of a spend of `c_max` (protocol §3.3).
    pub fn digest(&self, c_max: Credits) -> Fe {
        let string = LengthPrefixed::new("cloister/spend-context/v1")
            .bytes(self.ledger_id)
            .bytes(self.vk_digest)
            .bytes(self.keyset_digest)
            .bytes(self.settle_key)
            .bytes(self.payee)
            .bytes(self.price_sheet_digest)
            .number(c_max.get())
            .number(self.not_after)
            .bytes(self.tab_key)
            .finish();
        Fe::from_digest(sha256(&string))
    }
}
