//! The [`Ledger`] trait, its wire types and its errors. `docs/protocol.md` §4.
//!
//! Every call is idempotent: repeating a request that was carried out gives the same outcome under a newer checkpoint.

use std::future::Future;

use serde::{Deserialize, Serialize};

use crate::bytes::{Bytes32, LengthPrefixed, SignatureBytes};
use crate::checkpoint::Checkpoint;
use crate::claim::{ClaimRequest, ClaimResponse, PayeeAccount};
use crate::context::SpendContext;
use crate::entry::{LogEntry, MintEntry, ReserveEntry};
use crate::fault::{SlashRequest, SlashResponse};
use crate::field::Fe;
use crate::merge::{MergeRequest, MergeResponse};
use crate::note::{Inner, Leaf, NotePublicKey, Nullifier, Root};
use crate::rating::{RatingRequest, RatingResponse};
use crate::spend::{SpendProof, SpendPublic, SpendRejection};
use crate::stake::{Bond, StakeRequest, StakeResponse};
use crate::value::Credits;

/// Value of [`LedgerInfo::version`].
pub const LEDGER_VERSION: &str = "cloister/ledger/v1";
/// Most notes one voucher opens (protocol §4.5).
pub const REDEEM_OUTPUTS_MAX: usize = 8;
/// Most entries in one [`LogPage`] (protocol §4.6).
pub const LOG_PAGE_ENTRIES_MAX: u32 = 1000;

/// A ledger: the store itself, or a client that checks what a remote one answers.
pub trait Ledger: Send + Sync {
    /// Who the ledger is and what it allows.
    fn info(&self) -> impl Future<Output = Result<LedgerInfo, LedgerError>> + Send;
    /// Turns a voucher into notes.
    fn redeem(&self, request: RedeemRequest) -> impl Future<Output = Result<RedeemResponse, LedgerError>> + Send;
    /// Records a nullifier and reserves `c_max`.
    fn reserve(&self, request: ReserveRequest) -> impl Future<Output = Result<Reservation, LedgerError>> + Send;
    /// Records a signed running total.
    fn journal(&self, request: JournalRequest) -> impl Future<Output = Result<(), LedgerError>> + Send;
    /// Charges a reservation and appends the successor note.
    fn settle(&self, request: SettleRequest) -> impl Future<Output = Result<SettleResponse, LedgerError>> + Send;
    /// Turns what a payee was paid into a note.
    fn claim(&self, request: ClaimRequest) -> impl Future<Output = Result<ClaimResponse, LedgerError>> + Send;
    /// Makes one note of two.
    fn merge(&self, request: MergeRequest) -> impl Future<Output = Result<MergeResponse, LedgerError>> + Send;
    /// Puts, backs with, or takes back a payee's stake.
    fn stake(&self, request: StakeRequest) -> impl Future<Output = Result<StakeResponse, LedgerError>> + Send;
    /// Takes a payee's stake for a fault.
    fn slash(&self, request: SlashRequest) -> impl Future<Output = Result<SlashResponse, LedgerError>> + Send;
    /// Records what the payer of a tab thought of it.
    fn rate(&self, request: RatingRequest) -> impl Future<Output = Result<RatingResponse, LedgerError>> + Send;
    /// A payee's stake.
    fn bond(&self, payee: Bytes32) -> impl Future<Output = Result<Bond, LedgerError>> + Send;
    /// What a payee is owed, and how many claims it made.
    fn payee(&self, payee: Bytes32) -> impl Future<Output = Result<PayeeAccount, LedgerError>> + Send;
    /// Up to `limit` log entries from position `from`.
    fn log(&self, from: u64, limit: u32) -> impl Future<Output = Result<LogPage, LedgerError>> + Send;
    /// The current checkpoint, with the proof that its log extends the one of size `from`.
    fn checkpoint(&self, from: u64) -> impl Future<Output = Result<CheckpointAnswer, LedgerError>> + Send;
}

/// Answer to `GET /v1/ledger`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerInfo {
    /// [`LEDGER_VERSION`].
    pub version: String,
    /// [`crate::checkpoint::ledger_id`] of its key and the digests of its verifying keys.
    pub ledger_id: Bytes32,
    /// Signs checkpoints.
    pub ledger_key: Bytes32,
    /// Signs vouchers.
    pub admin_key: Bytes32,
    /// SHA-256 of the verifying key.
    pub vk_digest: Bytes32,
    /// Whether its credits are worth money; wallets then want vendor-rooted guardians.
    pub holds_value: bool,
    /// How the parameters were made: `single-party`, or `ceremony:` with the transcript's digest (docs/protocol.md §3.5).
    pub setup: String,
    /// How long after `not_after` a guardian may still settle.
    pub grace_secs: u64,
    /// A proof may be made against a root that fewer notes than this follow, or an anchor (protocol §4.3).
    pub root_window: u64,
    /// Longest reservation.
    pub tab_secs_max: u64,
    /// The parameters of merges; without them the ledger makes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge: Option<MergeInfo>,
}

/// The parameters of the merge statement (protocol §3.6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MergeInfo {
    /// SHA-256 of the verifying key.
    pub vk_digest: Bytes32,
    /// How they were made: see [`LedgerInfo::setup`].
    pub setup: String,
}

impl LedgerInfo {
    /// Digest of the verifying key of merges, if there are any.
    pub fn merge_vk_digest(&self) -> Option<Bytes32> {
        self.merge.as_ref().map(|merge| merge.vk_digest)
    }
}

/// Body of `POST /v1/vouchers/redeem`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedeemRequest {
    /// Text of a [`crate::voucher::Voucher`].
    pub voucher: String,
    /// The notes to open; their values sum to the voucher's.
    pub outputs: Vec<MintOutput>,
}

/// A note to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MintOutput {
    /// Its owner.
    pub pk: NotePublicKey,
    /// Its worth.
    pub value: Credits,
    /// Its blinding factor.
    pub b: Fe,
}

/// Answer to [`RedeemRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedeemResponse {
    /// One per output, in order.
    pub entries: Vec<MintEntry>,
    /// A checkpoint whose log holds them.
    pub checkpoint: Checkpoint,
}

/// Body of `POST /v1/spends`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReserveRequest {
    /// Root of the note tree the proof was made against.
    pub root: Root,
    /// Identity of the spend.
    pub nullifier: Nullifier,
    /// Hidden part of the successor note.
    pub inner_next: Inner,
    /// What to reserve.
    pub c_max: Credits,
    /// What the spend is bound to.
    pub context: SpendContext,
    /// The proof.
    pub proof: SpendProof,
}

impl ReserveRequest {
    /// The public values the proof must verify for; `ctx` is recomputed here.
    pub fn public(&self) -> SpendPublic {
        SpendPublic {
            root: self.root,
            nullifier: self.nullifier,
            inner_next: self.inner_next,
            c_max: self.c_max,
            ctx: self.context.digest(self.c_max),
        }
    }

    /// The log entry that records this request.
    pub fn entry(&self) -> ReserveEntry {
        let Self { root, nullifier, inner_next, c_max, context, proof } = self.clone();
        ReserveEntry { root, nullifier, inner_next, c_max, context, proof }
    }
}

/// Answer to [`ReserveRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reservation {
    /// The spend.
    pub nullifier: Nullifier,
    /// Position of the reserve entry in the log.
    pub entry_index: u64,
    /// RFC 9162 inclusion proof of that entry in the checkpoint's log.
    pub inclusion: Vec<Bytes32>,
    /// A checkpoint whose log holds the entry.
    pub checkpoint: Checkpoint,
}

/// Body of `POST /v1/spends/{nf}/journal`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalRequest {
    /// The spend.
    pub nullifier: Nullifier,
    /// Running total of its cost.
    pub total: Credits,
    /// Over [`journal_message`].
    pub signature: SignatureBytes,
}

/// Body of `POST /v1/spends/{nf}/settle`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettleRequest {
    /// The spend.
    pub nullifier: Nullifier,
    /// What to charge.
    pub charge: Credits,
    /// Over [`settle_message`].
    pub signature: SignatureBytes,
}

/// Answer to [`SettleRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettleResponse {
    /// The spend.
    pub nullifier: Nullifier,
    /// What was charged.
    pub charge: Credits,
    /// What went back.
    pub refund: Credits,
    /// The successor note's leaf.
    pub leaf: Leaf,
    /// Position of the successor note in the note tree.
    pub leaf_index: u64,
    /// Position of the settle or void entry in the log.
    pub entry_index: u64,
    /// RFC 9162 inclusion proof of that entry in the checkpoint's log.
    pub inclusion: Vec<Bytes32>,
    /// A checkpoint whose log holds the entry.
    pub checkpoint: Checkpoint,
}

/// Answer to a request that is one entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded<E> {
    /// The entry that records it.
    pub entry: E,
    /// Its position in the log.
    pub entry_index: u64,
    /// RFC 9162 inclusion proof of that entry in the checkpoint's log.
    pub inclusion: Vec<Bytes32>,
    /// A checkpoint whose log holds the entry.
    pub checkpoint: Checkpoint,
}

/// Answer to `GET /v1/log`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogPage {
    /// Entries from the asked position on; fewer than asked only at the end of the checkpoint's log or at a size limit.
    pub entries: Vec<LogEntry>,
    /// A checkpoint whose log holds them.
    pub checkpoint: Checkpoint,
}

/// Answer to `GET /v1/checkpoint`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointAnswer {
    /// The current checkpoint.
    pub checkpoint: Checkpoint,
    /// RFC 9162 consistency proof from the asked size.
    pub consistency: Vec<Bytes32>,
}

/// The string a guardian signs to journal a running total (protocol §4.4).
pub fn journal_message(ledger_id: &Bytes32, nullifier: &Nullifier, total: Credits) -> Vec<u8> {
    LengthPrefixed::new("cloister/journal/v1").bytes(ledger_id).bytes(nullifier).number(total.get()).finish()
}

/// The string a guardian signs to settle (protocol §4.4).
pub fn settle_message(ledger_id: &Bytes32, nullifier: &Nullifier, charge: Credits) -> Vec<u8> {
    LengthPrefixed::new("cloister/settle/v1").bytes(ledger_id).bytes(nullifier).number(charge.get()).finish()
}

/// Writes [`LedgerError`] and both directions of its codes from one table.
macro_rules! ledger_errors {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $status:literal, $message:literal;)*) => {
        /// Why a ledger refuses, or why its answer is refused.
        #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
        #[non_exhaustive]
        pub enum LedgerError {
            $($(#[$doc])* #[error($message)] $variant,)*
            /// The ledger answered with a code this version does not know.
            #[error("the ledger refused with {code:?}: {message}")]
            Unrecognised {
                /// The ledger's code.
                code: String,
                /// The ledger's message.
                message: String,
            },
        }

        impl LedgerError {
            /// One of each variant that has a code of its own.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable code.
            pub const fn code(&self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)*
                    Self::Unrecognised { .. } => "ledger.unrecognised",
                }
            }

            /// The HTTP status the code travels with.
            pub const fn http_status(&self) -> u16 {
                match self {
                    $(Self::$variant => $status,)*
                    Self::Unrecognised { .. } => 502,
                }
            }

            /// The error a code stands for. The message is kept only when the code is not known.
            pub fn from_code(code: &str, message: &str) -> Self {
                match code {
                    $($code => Self::$variant,)*
                    _ => Self::Unrecognised { code: code.to_owned(), message: message.to_owned() },
                }
            }
        }
    };
}

ledger_errors! {
    /// The ledger cannot be reached, is overloaded, or its disk failed. Nothing is known about the request's fate.
    Unavailable = "ledger.unavailable", 503, "the ledger is not available";
    /// No such spend, position or page.
    NotFound = "ledger.not_found", 404, "the ledger has no such spend or position";
    /// The request is not what the protocol says.
    Malformed = "ledger.malformed", 400, "the request is malformed";
    /// The voucher is not one of this ledger's administrator.
    VoucherInvalid = "ledger.voucher_invalid", 403, "the voucher is not one of this ledger's";
    /// The voucher was redeemed with other outputs.
    VoucherUsed = "ledger.voucher_used", 403, "the voucher was redeemed for other notes";
    /// The mint would pass the cap on all credits.
    CapExceeded = "ledger.cap_exceeded", 403, "the mint would pass the cap on all credits";
    /// No outputs, too many, one of no value, or a sum that is not the voucher's value.
    OutputsMismatch = "ledger.outputs_mismatch", 400, "the outputs do not add up to the voucher's value";
    /// The note was spent before; which spend took it is not told.
    AlreadySpent = "credits.already_spent", 403, "the note was already spent";
    /// The nullifier is recorded for another spend.
    SpendConflict = "credits.spend_conflict", 403, "the nullifier is recorded for another spend";
    /// The successor note's hidden part was used by another spend.
    InnerReused = "credits.inner_reused", 403, "the successor note was used by another spend";
    /// The root is none of the recent roots of the note tree.
    RootUnknown = "spend.root_unknown", 403, "the root is none of the ledger's recent roots";
    /// `not_after` has passed.
    Expired = "spend.expired", 403, "the spend's deadline has passed";
    /// `not_after` is further ahead than the ledger allows.
    NotAfterTooFar = "spend.not_after_too_far", 403, "the spend's deadline is further ahead than allowed";
    /// See [`SpendRejection::ProofMalformed`].
    ProofMalformed = "spend.proof_malformed", 403, "the proof's bytes are not three points of the curve";
    /// See [`SpendRejection::ProofInvalid`].
    ProofInvalid = "spend.proof_invalid", 403, "the proof does not verify";
    /// The spend is bound to another ledger or verifying key.
    LedgerMismatch = "spend.ledger_mismatch", 403, "the spend is bound to another ledger";
    /// `c_max` is zero.
    ReserveZero = "spend.reserve_zero", 403, "a spend must reserve something";
    /// The settlement is not signed by the spend's settle key.
    SettleSignature = "settle.signature", 403, "the settlement is not signed by the spend's settle key";
    /// The charge is above what is reserved.
    SettleAboveReserve = "settle.above_reserve", 403, "the charge is above the reserve";
    /// The charge is below the last journalled total.
    SettleBelowJournal = "settle.below_journal", 403, "the charge is below the last journalled total";
    /// The spend is settled at another charge, or void.
    SettleConflict = "settle.conflict", 403, "the spend has another outcome";
    /// The running total is not signed by the spend's settle key.
    JournalSignature = "journal.signature", 403, "the running total is not signed by the spend's settle key";
    /// The running total is below the last one.
    JournalDecreasing = "journal.decreasing", 403, "the running total is below the last one";
    /// The running total is above what is reserved.
    JournalAboveReserve = "journal.above_reserve", 403, "the running total is above the reserve";
    /// The spend already has its outcome.
    JournalFinalised = "journal.finalised", 403, "the spend already has its outcome";
    /// The claim is not signed by the payee, or the payee is no key that only one can sign with.
    ClaimSignature = "claim.signature", 403, "the claim is not signed by the payee's key";
    /// A claim of nothing.
    ClaimZero = "claim.zero", 400, "a claim must be worth something";
    /// The payee made other claims since.
    ClaimStale = "claim.stale", 403, "the payee has made another number of claims than the claim says";
    /// More than was charged for the payee and is not claimed yet.
    ClaimAboveCharges = "claim.above_charges", 403, "the claim is above what the payee is owed";
    /// The act is not signed by the payee, or the payee is no key that only one can sign with.
    StakeSignature = "stake.signature", 403, "the act is not signed by the payee's key";
    /// Another number of acts.
    StakeStale = "stake.stale", 403, "the payee has made another number of acts than the request says";
    /// A stake of nothing.
    StakeZero = "stake.zero", 400, "a stake must be worth something";
    /// More than the payee is owed.
    StakeAboveOwed = "stake.above_owed", 403, "the stake is above what the payee is owed";
    /// There is no stake to back with or to take back.
    StakeNone = "stake.none", 403, "the payee has nothing at stake";
    /// A time that is past, too far ahead, or before one that was promised.
    StakeUntil = "stake.until", 403, "the time is past, too far ahead, or earlier than what was promised";
    /// Too many settle keys at a time.
    StakeTooMany = "stake.too_many", 403, "the payee backs as many keys as it can";
    /// Something is backed still.
    StakeHeld = "stake.held", 403, "the stake answers for a guardian still";
    /// What was said contradicts nothing, or is of another ledger.
    SlashNoFault = "slash.no_fault", 403, "what was said shows no fault";
    /// What was said is not signed by the settle key, or a key is none that only one can sign with.
    SlashSignature = "slash.signature", 403, "what was said is not signed by the settle key";
    /// No stake answers for the key now.
    SlashNotBacked = "slash.not_backed", 403, "the payee has nothing at stake for this key";
    /// No such score.
    RatingScore = "rating.score", 400, "a score is from 1 to 5";
    /// The rating is not signed by the tab's key.
    RatingSignature = "rating.signature", 403, "the rating is not signed by the tab's key";
    /// Nothing was charged for it, or not yet.
    RatingUnpaid = "rating.unpaid", 403, "only a tab that was charged can be rated";
    /// The tab has another rating.
    RatingConflict = "rating.conflict", 403, "the tab was rated otherwise";
    /// The ledger has no parameters for merges.
    MergeNotOffered = "merge.not_offered", 403, "the ledger makes no merges";
    /// Both notes of a merge are one.
    MergeOneNote = "merge.one_note", 403, "a merge is of two notes";
    /// Client side: the answer is not what the protocol says.
    AnswerMalformed = "ledger.answer_malformed", 502, "the ledger's answer is malformed";
    /// Client side: the answer is not about what was asked.
    AnswerMismatch = "ledger.answer_mismatch", 502, "the ledger's answer is not about what was asked";
    /// Client side: the ledger is not the pinned one.
    IdentityMismatch = "ledger.identity_mismatch", 502, "the ledger is not the pinned one";
    /// Client side: a checkpoint is not signed by the pinned ledger key.
    CheckpointSignature = "ledger.checkpoint_signature", 502, "the checkpoint's signature is not by the ledger key";
    /// Client side: the ledger shows an older state than one it signed before.
    Rollback = "ledger.rollback", 502, "the ledger shows an older state than it did before";
    /// Client side: the ledger shows a state that does not extend one it signed before.
    Fork = "ledger.fork", 502, "the ledger's log does not extend the one it showed before";
    /// Client side: too few of the witnesses that the reader names cosigned the log lately.
    Unwitnessed = "ledger.unwitnessed", 502, "too few witnesses said lately that this is the newest state of the ledger's log; it may be an old copy, \
        its witnesses may be away, or a clock may be wrong";
    /// Client side: the entry is not in the checkpoint's log.
    InclusionInvalid = "ledger.inclusion_invalid", 502, "the ledger's log does not hold the entry";
}

impl LedgerError {
    /// Whether repeating the same request later can succeed.
    pub const fn retryable(&self) -> bool {
        matches!(self, Self::Unavailable)
    }

    /// Whether a client finds it in what a ledger answers; no ledger says so of itself.
    pub const fn is_found_by_clients(&self) -> bool {
        self.http_status() == 502 && !matches!(self, Self::Unrecognised { .. })
    }
}

impl From<SpendRejection> for LedgerError {
    fn from(rejection: SpendRejection) -> Self {
        match rejection {
            SpendRejection::ProofMalformed => Self::ProofMalformed,
            SpendRejection::ProofInvalid => Self::ProofInvalid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_read_back() {
        for (position, error) in LedgerError::ALL.iter().enumerate() {
            assert_eq!(&LedgerError::from_code(error.code(), ""), error);
            assert_eq!(LedgerError::ALL.iter().position(|other| other.code() == error.code()), Some(position));
        }
    }

    #[test]
    fn unknown_codes_stay_refusals() {
        let error = LedgerError::from_code("ledger.new", "why");
        assert_eq!(error.code(), "ledger.unrecognised");
        assert!(!error.retryable());
    }

    #[test]
    fn only_unavailability_is_retried_and_is_not_a_403() {
        for error in LedgerError::ALL {
            assert_eq!(error.retryable(), error.http_status() == 503, "{}", error.code());
        }
    }
}
