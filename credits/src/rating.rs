//! Ratings: what the payer of a tab thought of it, once for each tab that was charged. `docs/protocol.md` §4.11, decision 34.
//!
//! A rating is signed by the tab's key, so it tells of the payer what the tab tells already, and counts as much as was charged.

use serde::{Deserialize, Serialize};

use crate::bytes::{Bytes32, LengthPrefixed, SignatureBytes};
use crate::entry::RatingEntry;
use crate::keys::{TabKey, verify_ed25519};
use crate::ledger::{LedgerError, Recorded};
use crate::note::Nullifier;
use crate::state::SpendState;

/// The best score; the worst is 1.
pub const SCORE_MAX: u8 = 5;

/// Body of `POST /v1/ratings`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RatingRequest {
    /// The spend that opened the tab.
    pub nullifier: Nullifier,
    /// From 1 to [`SCORE_MAX`].
    pub score: u8,
    /// By the tab's key over [`rating_message`].
    pub signature: SignatureBytes,
}

impl RatingRequest {
    /// Signs a rating.
    pub fn sign(key: &TabKey, ledger_id: &Bytes32, nullifier: Nullifier, score: u8) -> Self {
        Self { nullifier, score, signature: key.sign(&rating_message(ledger_id, &nullifier, score)) }
    }
}

/// Answer to [`RatingRequest`].
pub type RatingResponse = Recorded<RatingEntry>;

/// The string a tab's key signs (protocol §4.11).
pub fn rating_message(ledger_id: &Bytes32, nullifier: &Nullifier, score: u8) -> Vec<u8> {
    let string = LengthPrefixed::new("cloister/rating/v1").bytes(ledger_id).bytes(nullifier);
    string.number(score.into()).finish()
}

/// A rating, as it is recorded with its spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rated {
    /// The score.
    pub score: u8,
    /// Position of the rating entry in the log.
    pub entry_index: u64,
}

/// A rating whose score exists and whose signature verified under one tab key.
#[derive(Clone, Debug)]
pub struct VerifiedRating {
    request: RatingRequest,
    tab_key: Bytes32,
}

impl VerifiedRating {
    /// Verifies score and signature.
    pub fn verify(request: RatingRequest, ledger_id: &Bytes32, tab_key: Bytes32) -> Result<Self, LedgerError> {
        if !(1..=SCORE_MAX).contains(&request.score) {
            return Err(LedgerError::RatingScore);
        }
        let message = rating_message(ledger_id, &request.nullifier, request.score);
        verify_ed25519(&tab_key, &message, &request.signature).map_err(|_| LedgerError::RatingSignature)?;
        Ok(Self { request, tab_key })
    }

    /// The request.
    pub const fn request(&self) -> &RatingRequest {
        &self.request
    }
}

/// What to do about a rating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RatingDecision {
    /// It is recorded already: answer with the entry at this position.
    Repeat {
        /// Position of the rating entry.
        entry_index: u64,
    },
    /// Record it.
    Record,
}

/// Decides a rating of the spend of its nullifier.
pub fn decide_rating(state: &SpendState, rating: &VerifiedRating) -> Result<RatingDecision, LedgerError> {
    let spend = state.spend().ok_or(LedgerError::NotFound)?;
    if rating.tab_key != spend.context.tab_key {
        return Err(LedgerError::RatingSignature);
    }
    let SpendState::Settled { outcome, .. } = state else { return Err(LedgerError::RatingUnpaid) };
    if outcome.charge.is_zero() || spend.context.names_no_guardian() {
        return Err(LedgerError::RatingUnpaid);
    }
    match outcome.rated {
        Some(Rated { score, entry_index }) if score == rating.request.score => {
            Ok(RatingDecision::Repeat { entry_index })
        }
        Some(_) => Err(LedgerError::RatingConflict),
        None => Ok(RatingDecision::Record),
    }
}

#[cfg(test)]
#[path = "rating_tests.rs"]
mod tests;
