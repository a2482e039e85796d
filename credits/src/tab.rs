//! What goes over the wire when a tab is opened and looked at. `docs/protocol.md` §5.

use serde::{Deserialize, Serialize};

use crate::bytes::Bytes32;
use crate::note::{Inner, Nullifier, Root};
use crate::spend::SpendProof;
use crate::value::Credits;

/// Value of [`OpenTabRequest::version`].
pub const TAB_VERSION: &str = "cloister/tab/v1";

/// Body of `POST /v1/tabs`. The context is not in it: the guardian recomputes it from its own values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenTabRequest {
    /// [`TAB_VERSION`].
    pub version: String,
    /// Root of the note tree the proof was made against.
    pub root: Root,
    /// Identity of the spend and of the tab.
    pub nullifier: Nullifier,
    /// Hidden part of the successor note.
    pub inner_next: Inner,
    /// What to reserve.
    pub c_max: Credits,
    /// When the tab ends, in Unix seconds.
    pub not_after: u64,
    /// The Ed25519 key that signs the requests under the tab.
    pub tab_key: Bytes32,
    /// The proof.
    pub proof: SpendProof,
}

/// Answer to [`OpenTabRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenTabResponse {
    /// The tab.
    pub tab_id: Nullifier,
    /// What is reserved.
    pub reserve: Credits,
    /// When the tab ends, in Unix seconds.
    pub not_after: u64,
    /// Position of the reserve entry in the ledger's log.
    pub entry_index: u64,
}

/// Answer to `GET /v1/tabs/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TabStatus {
    /// The tab.
    pub tab_id: Nullifier,
    /// What is reserved.
    pub reserve: Credits,
    /// What its requests cost so far.
    pub charged: Credits,
    /// Number of requests that were charged.
    pub requests: u64,
    /// Where it stands.
    pub state: TabState,
}

/// Where a tab stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TabState {
    /// It takes requests.
    Open,
    /// It takes no more requests and waits for the ledger.
    Closing,
    /// It is settled.
    Closed,
}
