//! Entries of a ledger's log: every change of its state, in order.
//!
//! An entry's canonical bytes and log leaf are `docs/protocol.md` §4.2; its JSON form is only transport. Nothing here
//! judges an entry: ledgers do before they append one, wallets when they replay it.

use serde::{Deserialize, Serialize};

use crate::bytes::{Bytes32, LengthPrefixed, SignatureBytes};
use crate::claim::ClaimRequest;
use crate::context::SpendContext;
use crate::fault::Evidence;
use crate::field::Fe;
use crate::ledger::MintOutput;
use crate::merkle;
use crate::note::{Inner, Leaf, NotePublicKey, Nullifier, Root};
use crate::spend::SpendProof;
use crate::stake::StakeAct;
use crate::value::Credits;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(
    clippy::large_enum_variant,
    reason = "entries are handled by the page of at most 1,000, half of them reservations"
)]
pub enum LogEntry {
    /// A note was minted for a voucher.
    Mint(MintEntry),
    /// A spend was reserved.
    Reserve(ReserveEntry),
    /// A guardian signed a running total.
    Journal(JournalEntry),
    /// A spend was charged; its successor note was appended.
    Settle(SettleEntry),
    /// A spend was given back whole; its successor note was appended.
    Void(VoidEntry),
    /// A payee turned what it was paid into a note.
    Claim(ClaimEntry),
    /// Two notes became one.
    Merge(MergeEntry),
    /// A payee did something with its stake.
    Stake(StakeEntry),
    /// A payee lost its stake.
    Slash(SlashEntry),
    /// A tab was rated.
    Rating(RatingEntry),
}

/// `cloister/log/mint/v1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MintEntry {
    /// Number of the mint on this ledger, from 0.
    pub mint_seq: u64,
    /// Worth of the note.
    pub value: Credits,
    /// Owner of the note.
    pub pk: NotePublicKey,
    /// [`crate::note::mint_rho`] of `mint_seq`.
    pub rho: Fe,
    /// Blinding factor the depositor chose; public.
    pub b: Fe,
    /// Position of the note in the note tree.
    pub leaf_index: u64,
    /// The note's leaf.
    pub leaf: Leaf,
    /// The voucher that paid for it.
    pub voucher_id: Bytes32,
}

/// `cloister/log/reserve/v1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReserveEntry {
    /// Root of the note tree the proof was made against.
    pub root: Root,
    /// Identity of the spend.
    pub nullifier: Nullifier,
    /// Hidden part of the successor note.
    pub inner_next: Inner,
    /// The most that can be charged.
    pub c_max: Credits,
    /// What the spend is bound to.
    pub context: SpendContext,
    /// The proof that was verified.
    pub proof: SpendProof,
}

/// `cloister/log/journal/v1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalEntry {
    /// The spend.
    pub nullifier: Nullifier,
    /// Running total of its cost.
    pub total: Credits,
    /// By the context's `settle_key` over [`crate::ledger::journal_message`].
    pub signature: SignatureBytes,
}

/// `cloister/log/settle/v1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettleEntry {
    /// The spend.
    pub nullifier: Nullifier,
    /// What was charged.
    pub charge: Credits,
    /// What went back: `c_max − charge`.
    pub refund: Credits,
    /// Position of the successor note in the note tree.
    pub leaf_index: u64,
    /// The successor note's leaf.
    pub leaf: Leaf,
    /// Who settled.
    pub by: SettledBy,
    /// By the context's `settle_key` over [`crate::ledger::settle_message`]; absent when the ledger settled.
    pub signature: Option<SignatureBytes>,
}

/// Who settled a spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettledBy {
    /// The guardian, with its signature.
    Guardian,
    /// The ledger, at the last journalled total, after the guardian's time was up.
    Ledger,
}

impl SettledBy {
    /// The name in JSON and in canonical bytes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Guardian => "guardian",
            Self::Ledger => "ledger",
        }
    }
}

/// `cloister/log/void/v1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoidEntry {
    /// The spend.
    pub nullifier: Nullifier,
    /// What went back: all of `c_max`.
    pub refund: Credits,
    /// Position of the successor note in the note tree.
    pub leaf_index: u64,
    /// The successor note's leaf.
    pub leaf: Leaf,
}

/// `cloister/log/claim/v1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimEntry {
    /// Who was paid.
    pub payee: Bytes32,
    /// How many claims the payee made before.
    pub claim_seq: u64,
    /// Number of the mint on this ledger; the note is one like those of vouchers.
    pub mint_seq: u64,
    /// Worth of the note.
    pub value: Credits,
    /// Owner of the note.
    pub pk: NotePublicKey,
    /// [`crate::note::mint_rho`] of `mint_seq`.
    pub rho: Fe,
    /// Blinding factor the payee chose; public.
    pub b: Fe,
    /// Position of the note in the note tree.
    pub leaf_index: u64,
    /// The note's leaf.
    pub leaf: Leaf,
    /// By the payee over [`crate::claim::claim_message`].
    pub signature: SignatureBytes,
}

/// `cloister/log/merge/v1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MergeEntry {
    /// Root of the note tree the proof was made against.
    pub root: Root,
    /// The notes that were spent; the successor continues the first.
    pub nullifiers: [Nullifier; 2],
    /// Hidden part of the successor note.
    pub inner_next: Inner,
    /// Position of the successor note in the note tree.
    pub leaf_index: u64,
    /// The successor note's leaf; its refund is nothing.
    pub leaf: Leaf,
    /// The proof that was verified.
    pub proof: SpendProof,
}

/// `cloister/log/stake/v1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StakeEntry {
    /// Whose stake.
    pub payee: Bytes32,
    /// How many acts the payee made before.
    pub seq: u64,
    /// What it did.
    pub act: StakeAct,
    /// The ledger's time, in Unix seconds, at which it was allowed.
    pub at: u64,
    /// By the payee over [`crate::stake::stake_message`].
    pub signature: SignatureBytes,
}

/// `cloister/log/slash/v1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlashEntry {
    /// Whose stake it was.
    pub payee: Bytes32,
    /// Who said what contradicts itself.
    pub settle_key: Bytes32,
    /// What was said.
    pub evidence: Evidence,
    /// The payee that got the reward.
    pub reporter: Bytes32,
    /// The ledger's time, in Unix seconds, at which the key was backed.
    pub at: u64,
    /// What was at stake.
    pub amount: Credits,
    /// What the reporter got of it; the rest is burnt.
    pub reward: Credits,
}

/// `cloister/log/rating/v1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RatingEntry {
    /// The spend.
    pub nullifier: Nullifier,
    /// From 1 to [`crate::rating::SCORE_MAX`].
    pub score: u8,
    /// By the context's `tab_key` over [`crate::rating::rating_message`].
    pub signature: SignatureBytes,
}

impl LogEntry {
    /// The bytes that are hashed (protocol §4.2).
    pub fn canonical_bytes(&self) -> Vec<u8> {
        match self {
            Self::Mint(entry) => entry.canonical_bytes(),
            Self::Reserve(entry) => entry.canonical_bytes(),
            Self::Journal(entry) => entry.canonical_bytes(),
            Self::Settle(entry) => entry.canonical_bytes(),
            Self::Void(entry) => entry.canonical_bytes(),
            Self::Claim(entry) => entry.canonical_bytes(),
            Self::Merge(entry) => entry.canonical_bytes(),
            Self::Stake(entry) => entry.canonical_bytes(),
            Self::Slash(entry) => entry.canonical_bytes(),
            Self::Rating(entry) => entry.canonical_bytes(),
        }
    }

    /// The entry's leaf in the log: `SHA-256(0x00 ‖ canonical bytes)`.
    pub fn leaf_hash(&self) -> [u8; 32] {
        merkle::leaf_hash(&self.canonical_bytes())
    }

    /// The note that the entry appended to the note tree, with its position.
    pub const fn appended_note(&self) -> Option<(u64, Leaf)> {
        match self {
            Self::Mint(entry) => Some((entry.leaf_index, entry.leaf)),
            Self::Settle(entry) => Some((entry.leaf_index, entry.leaf)),
            Self::Void(entry) => Some((entry.leaf_index, entry.leaf)),
            Self::Claim(entry) => Some((entry.leaf_index, entry.leaf)),
            Self::Merge(entry) => Some((entry.leaf_index, entry.leaf)),
            Self::Reserve(_) | Self::Journal(_) | Self::Stake(_) | Self::Slash(_) | Self::Rating(_) => None,
        }
    }
}

impl MintEntry {
    fn canonical_bytes(&self) -> Vec<u8> {
        LengthPrefixed::new("cloister/log/mint/v1")
            .number(self.mint_seq)
            .number(self.value.get())
            .bytes(self.pk)
            .bytes(self.rho)
            .bytes(self.b)
            .number(self.leaf_index)
            .bytes(self.leaf)
            .bytes(self.voucher_id)
            .finish()
    }
}

impl ReserveEntry {
    fn canonical_bytes(&self) -> Vec<u8> {
        LengthPrefixed::new("cloister/log/reserve/v1")
            .bytes(self.root)
            .bytes(self.nullifier)
            .bytes(self.inner_next)
            .number(self.c_max.get())
            .bytes(self.context.ledger_id)
            .bytes(self.context.vk_digest)
            .bytes(self.context.keyset_digest)
            .bytes(self.context.settle_key)
            .bytes(self.context.payee)
            .bytes(self.context.price_sheet_digest)
            .number(self.context.not_after)
            .bytes(self.context.tab_key)
            .bytes(self.proof)
            .finish()
    }
}

impl JournalEntry {
    fn canonical_bytes(&self) -> Vec<u8> {
        LengthPrefixed::new("cloister/log/journal/v1")
            .bytes(self.nullifier)
            .number(self.total.get())
            .bytes(self.signature)
            .finish()
    }
}

impl SettleEntry {
    fn canonical_bytes(&self) -> Vec<u8> {
        LengthPrefixed::new("cloister/log/settle/v1")
            .bytes(self.nullifier)
            .number(self.charge.get())
            .number(self.refund.get())
            .number(self.leaf_index)
            .bytes(self.leaf)
            .bytes(self.by.name())
            .bytes(self.signature.as_ref().map_or(&[][..], |signature| signature.as_ref()))
            .finish()
    }
}

impl VoidEntry {
    fn canonical_bytes(&self) -> Vec<u8> {
        LengthPrefixed::new("cloister/log/void/v1")
            .bytes(self.nullifier)
            .number(self.refund.get())
            .number(self.leaf_index)
            .bytes(self.leaf)
            .finish()
    }
}

impl ClaimEntry {
    /// The request that it records.
    pub const fn request(&self) -> ClaimRequest {
        ClaimRequest {
            payee: self.payee,
            claim_seq: self.claim_seq,
            output: MintOutput { pk: self.pk, value: self.value, b: self.b },
            signature: self.signature,
        }
    }

    fn canonical_bytes(&self) -> Vec<u8> {
        LengthPrefixed::new("cloister/log/claim/v1")
            .bytes(self.payee)
            .number(self.claim_seq)
            .number(self.mint_seq)
            .number(self.value.get())
            .bytes(self.pk)
            .bytes(self.rho)
            .bytes(self.b)
            .number(self.leaf_index)
            .bytes(self.leaf)
            .bytes(self.signature)
            .finish()
    }
}

impl MergeEntry {
    fn canonical_bytes(&self) -> Vec<u8> {
        let [nullifier, nullifier2] = self.nullifiers;
        LengthPrefixed::new("cloister/log/merge/v1")
            .bytes(self.root)
            .bytes(nullifier)
            .bytes(nullifier2)
            .bytes(self.inner_next)
            .number(self.leaf_index)
            .bytes(self.leaf)
            .bytes(self.proof)
            .finish()
    }
}

impl StakeEntry {
    fn canonical_bytes(&self) -> Vec<u8> {
        let string = LengthPrefixed::new("cloister/log/stake/v1").bytes(self.payee).number(self.seq).number(self.at);
        self.act.extend(string).bytes(self.signature).finish()
    }
}

impl SlashEntry {
    fn canonical_bytes(&self) -> Vec<u8> {
        let string = LengthPrefixed::new("cloister/log/slash/v1")
            .bytes(self.payee)
            .bytes(self.settle_key)
            .bytes(self.reporter)
            .number(self.at)
            .number(self.amount.get())
            .number(self.reward.get());
        self.evidence.extend(string).finish()
    }
}

impl RatingEntry {
    fn canonical_bytes(&self) -> Vec<u8> {
        LengthPrefixed::new("cloister/log/rating/v1")
            .bytes(self.nullifier)
            .number(self.score.into())
            .bytes(self.signature)
            .finish()
    }
}

#[cfg(test)]
#[path = "entry_tests.rs"]
mod tests;
