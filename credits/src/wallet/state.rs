//! What a wallet remembers, and its stored form.
//!
//! The seed is not part of it. The state follows from the seed and the log, but for three things only a wallet knows: which
//! checkpoints it has seen, which spends it is about to make, and when it saw what.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{LEAVES_KEPT_MAX, WALLET_FORMAT};
use crate::bytes::Bytes32;
use crate::checkpoint::Checkpoint;
use crate::context::SpendContext;
use crate::ledger::LedgerInfo;
use crate::merkle::LogFrontier;
use crate::note::{Inner, Note, Nullifier};
use crate::stake::Bond;
use crate::tree::NoteTree;
use crate::value::Credits;

/// The stored form of a wallet.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalletState {
    pub(super) format: String,
    pub(super) fingerprint: Bytes32,
    pub(super) ledger_id: Bytes32,
    pub(super) ledger_key: Bytes32,
    pub(super) vk_digest: Bytes32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) merge_vk_digest: Option<Bytes32>,
    pub(super) grace_secs: u64,
    /// The lane of the next deposit.
    pub(super) next_lane: u64,
    /// Lanes below this have been minted on, as far as the log shows.
    pub(super) lanes_minted: u64,
    /// The replayed log.
    pub(super) log: LogFrontier,
    #[serde(with = "leaves")]
    pub(super) tree: NoteTree,
    pub(super) next_mint_seq: u64,
    /// All reservations of the ledger that are not settled yet.
    pub(super) open: BTreeMap<Nullifier, OpenSpend>,
    /// The stakes of all payees that ever had one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) bonds: BTreeMap<Bytes32, Bond>,
    /// The newest checkpoint that the replayed log was found to agree with.
    pub(super) agreed: Option<Checkpoint>,
    /// Signed checkpoints beyond the replayed log, smallest first, waiting to be compared.
    pub(super) awaited: Vec<Checkpoint>,
    pub(super) notes: Vec<OwnedNote>,
    pub(super) history: Vec<HistoryItem>,
}

impl WalletState {
    pub(super) fn new(fingerprint: Bytes32, ledger: &LedgerInfo) -> Self {
        Self {
            format: WALLET_FORMAT.to_owned(),
            fingerprint,
            ledger_id: ledger.ledger_id,
            ledger_key: ledger.ledger_key,
            vk_digest: ledger.vk_digest,
            merge_vk_digest: ledger.merge_vk_digest(),
            grace_secs: ledger.grace_secs,
            next_lane: 0,
            lanes_minted: 0,
            log: LogFrontier::new(),
            tree: NoteTree::new(),
            next_mint_seq: 0,
            open: BTreeMap::new(),
            bonds: BTreeMap::new(),
            agreed: None,
            awaited: Vec::new(),
            notes: Vec::new(),
            history: Vec::new(),
        }
    }

    /// The ledger this wallet belongs to.
    pub const fn ledger_id(&self) -> Bytes32 {
        self.ledger_id
    }

    /// The newest checkpoint seen, whether or not the log is replayed that far.
    pub fn newest_seen(&self) -> Option<&Checkpoint> {
        self.awaited.last().or(self.agreed.as_ref())
    }

    /// The wallet's notes that are not spent, oldest first.
    pub fn notes(&self) -> &[OwnedNote] {
        &self.notes
    }
}

/// A reservation by anyone, as far as judging its end needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OpenSpend {
    pub(super) inner_next: Inner,
    pub(super) c_max: Credits,
    pub(super) settle_key: Bytes32,
    pub(super) journalled: Option<Credits>,
}

/// A note of the wallet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnedNote {
    /// The note.
    pub note: Note,
    /// Its position in the note tree.
    pub leaf_index: u64,
    /// The nullifier that spending it publishes. Secret until then.
    pub nullifier: Nullifier,
    /// What is being done with it.
    pub status: NoteStatus,
}

/// What is being done with a note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case", deny_unknown_fields)]
pub enum NoteStatus {
    /// Nothing.
    Free,
    /// A spend was prepared and may have been sent; the log does not show it.
    Pending {
        /// What it reserves.
        c_max: Credits,
        /// What it is bound to.
        context: Box<SpendContext>,
    },
    /// The log shows it reserved.
    Reserved {
        /// What is reserved.
        c_max: Credits,
        /// `v'`: what stays in the successor whatever is charged.
        value_next: Credits,
    },
    /// A merge with another note was prepared and may have been sent; the log does not show it.
    Merging {
        /// The other note.
        partner: Nullifier,
        /// Whether the successor continues this one.
        leads: bool,
    },
}

/// One thing that happened to the wallet's credits, oldest first in [`super::Wallet::history`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum HistoryItem {
    /// A note was minted.
    Deposit(DepositItem),
    /// A note was made of what a payee had been paid.
    Claim(ClaimItem),
    /// A note was spent, or was about to be.
    Spend(SpendItem),
    /// Two notes became one.
    Merge(MergeItem),
}

/// A minted note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepositItem {
    /// Its worth.
    pub value: Credits,
    /// The voucher that paid for it.
    pub voucher_id: Bytes32,
    /// The log entry.
    pub entry_index: u64,
    /// The time of the checkpoint under which the wallet first saw it.
    pub seen: u64,
}

/// A claimed note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimItem {
    /// Its worth.
    pub value: Credits,
    /// Who was paid.
    pub payee: Bytes32,
    /// The log entry.
    pub entry_index: u64,
    /// The time of the checkpoint under which the wallet first saw it.
    pub seen: u64,
}

/// A merge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MergeItem {
    /// The notes.
    pub nullifiers: [Nullifier; 2],
    /// What both were worth.
    pub value: Credits,
    /// The log entry.
    pub entry_index: u64,
    /// The time of the checkpoint under which the wallet first saw it.
    pub seen: u64,
}

/// A spend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpendItem {
    /// Its identity, which is also the tab's id.
    pub nullifier: Nullifier,
    /// What it reserves.
    pub c_max: Credits,
    /// What it is bound to: the guardian's keyset, the payee, the prices, the deadline.
    pub context: Box<SpendContext>,
    /// How far it got.
    pub progress: SpendProgress,
    /// What was charged: the last journalled total while it is open.
    pub charge: Option<Credits>,
    /// What came back.
    pub refund: Option<Credits>,
    /// The time of the checkpoint under which the wallet saw it end.
    pub seen: Option<u64>,
    /// The score it was rated with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rating: Option<u8>,
}

/// How far a spend got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpendProgress {
    /// Prepared; the log does not show it.
    Pending,
    /// Reserved: the tab is open.
    Reserved,
    /// Charged.
    Settled,
    /// Given back whole.
    Voided,
    /// Given up, or never reserved in time.
    Abandoned,
}

/// The note tree as its leaves, in one hex string.
mod leaves {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::{LEAVES_KEPT_MAX, NoteTree};
    use crate::field::Fe;
    use crate::note::Leaf;

    pub(super) fn serialize<S: Serializer>(tree: &NoteTree, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = tree.leaves().flat_map(|leaf| *leaf.as_bytes()).collect();
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NoteTree, D::Error> {
        let bytes = hex::decode(String::deserialize(deserializer)?).map_err(D::Error::custom)?;
        let (leaves, []) = bytes.as_chunks::<32>() else {
            return Err(D::Error::custom("the leaves are not whole"));
        };
        if leaves.len() > LEAVES_KEPT_MAX {
            return Err(D::Error::custom("there are more leaves than a wallet keeps"));
        }
        let mut tree = NoteTree::new();
        for leaf in leaves {
            tree.append(Leaf(Fe::from_bytes(*leaf).map_err(D::Error::custom)?)).map_err(D::Error::custom)?;
        }
        Ok(tree)
    }
}
