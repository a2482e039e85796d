//! Anonymous credits: notes and nullifiers, the spend circuit and its proof, tabs, the wallet state machine, the
//! [`ledger`] trait and everything that is hashed or signed between wallets, guardians and ledgers.
//!
//! The crate is pure: no I/O, no clock, no environment. Randomness, time and bytes are arguments. The normative page is
//! `docs/protocol.md`; comments cite it by section.

pub mod audit;
pub mod bytes;
pub mod checkpoint;
pub mod circuit;
pub mod claim;
pub mod context;
pub mod contradiction;
pub mod entry;
pub mod fault;
pub mod field;
#[cfg(test)]
mod fixture;
pub mod hash;
pub mod http_sig;
pub mod keys;
pub mod ledger;
pub mod merge;
pub mod merkle;
pub mod note;
pub mod offer;
pub mod params;
mod poseidon;
pub mod rating;
pub mod settlement;
pub mod spend;
pub mod stake;
pub mod state;
pub mod tab;
pub mod tree;
pub mod value;
#[cfg(feature = "vault")]
pub mod vault;
pub mod voucher;
pub mod wallet;
pub mod withdrawal;

pub use bytes::{Bytes32, SignatureBytes};
pub use checkpoint::{Checkpoint, CheckpointError, UnsignedCheckpoint};
pub use claim::{ClaimRequest, ClaimResponse, PayeeAccount, PayeeKey};
pub use context::{SpendContext, SpendContextInputs};
pub use contradiction::{Contradicted, Contradiction, ContradictionError};
pub use entry::{
    ClaimEntry, JournalEntry, LogEntry, MergeEntry, MintEntry, RatingEntry, ReserveEntry, SettleEntry, SettledBy,
    SlashEntry, StakeEntry, VoidEntry,
};
pub use fault::{Evidence, Said, SlashRequest, SlashResponse};
pub use field::Fe;
pub use http_sig::{HttpSigRejection, RequestHeaders, sign_request, verify_request};
pub use keys::{AdminKey, BadSignature, KeyError, LedgerKey, SigningKey, TabKey, verify_ed25519};
pub use ledger::{
    CheckpointAnswer, JournalRequest, Ledger, LedgerError, LedgerInfo, LogPage, MergeInfo, MintOutput, Recorded,
    RedeemRequest, RedeemResponse, Reservation, ReserveRequest, SettleRequest, SettleResponse, journal_message,
    settle_message,
};
pub use merge::{MergePublic, MergeRequest, MergeResponse, MergeWitness};
pub use merkle::LogFrontier;
pub use note::{Blind, Inner, Leaf, Note, NotePublicKey, Nullifier, Root, SpendKey};
pub use offer::{ModelOffer, Offer, OfferError};
pub use rating::{RatingRequest, RatingResponse};
pub use settlement::Settlement;
pub use spend::{SpendProof, SpendPublic, SpendRejection, VerifiedSpend};
pub use stake::{Bond, StakeAct, StakeRequest, StakeResponse};
pub use tab::{OpenTabRequest, OpenTabResponse, TabState, TabStatus};
pub use tree::{NoteFrontier, NotePath, NoteTree};
pub use value::Credits;
pub use voucher::{Voucher, VoucherError};
pub use withdrawal::{Withdrawal, WithdrawalError};
