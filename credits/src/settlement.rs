//! The signed statement that closes a tab. `docs/protocol.md` §5.2.

use serde::{Deserialize, Serialize};

use crate::bytes::{Bytes32, LengthPrefixed};
use crate::note::{Leaf, Nullifier};
use crate::value::Credits;

/// Value of [`Settlement::version`], and the purpose under which a settlement is signed.
pub const SETTLEMENT_VERSION: &str = "cloister/settlement/v1";

/// How a tab ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settlement {
    /// [`SETTLEMENT_VERSION`].
    pub version: String,
    /// The ledger.
    pub ledger_id: Bytes32,
    /// The tab.
    pub nullifier: Nullifier,
    /// What was reserved.
    pub reserve: Credits,
    /// What was charged.
    pub charge: Credits,
    /// What went back: `reserve − charge`.
    pub refund: Credits,
    /// The successor note's leaf.
    pub leaf: Leaf,
    /// Position of the successor note in the note tree.
    pub leaf_index: u64,
    /// Position of the settle entry in the ledger's log.
    pub entry_index: u64,
    /// Number of requests that were charged.
    pub requests: u64,
    /// The guardian's keyset.
    pub keyset_digest: Bytes32,
}

impl Settlement {
    /// The string that a guardian's receipt key signs: `lp(purpose) ‖ lp(JCS)`. Members are written in the sorted order that RFC 8785
    /// asks for; none but `version` is text that could need escaping.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let Self { charge, entry_index, keyset_digest, leaf, leaf_index, ledger_id, nullifier, .. } = self;
        let Self { refund, requests, reserve, .. } = self;
        let version = serde_json::Value::from(self.version.as_str());
        let members = [
            format!(r#""charge":{charge},"entry_index":{entry_index},"keyset_digest":"{keyset_digest}""#),
            format!(r#""leaf":"{leaf}","leaf_index":{leaf_index},"ledger_id":"{ledger_id}""#),
            format!(r#""nullifier":"{nullifier}","refund":{refund},"requests":{requests}"#),
            format!(r#""reserve":{reserve},"version":{version}"#),
        ];
        let jcs = format!("{{{}}}", members.join(","));
        LengthPrefixed::new(SETTLEMENT_VERSION).bytes(jcs).finish()
    }
}
