//! Claims: what a payee was paid becomes a note. `docs/protocol.md` §4.7.
//!
//! A payee is an Ed25519 key. Operators keep one off their nodes; a wallet that withdraws makes one for the purpose. A claim names
//! the note and how many claims came before it, so that it counts once and in one place, whoever carries it.

use serde::{Deserialize, Serialize};

use crate::bytes::{Bytes32, LengthPrefixed, SignatureBytes};
use crate::entry::ClaimEntry;
use crate::keys::{SigningKey, is_small_order, verify_ed25519};
use crate::ledger::{LedgerError, MintOutput, Recorded};
use crate::value::Credits;

/// The key of a payee.
pub type PayeeKey = SigningKey;

/// Body of `POST /v1/claims`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimRequest {
    /// Who was paid.
    pub payee: Bytes32,
    /// How many claims the payee made before this one.
    pub claim_seq: u64,
    /// The note to open.
    pub output: MintOutput,
    /// By the payee over [`claim_message`].
    pub signature: SignatureBytes,
}

impl ClaimRequest {
    /// Signs a claim.
    pub fn sign(key: &PayeeKey, ledger_id: &Bytes32, claim_seq: u64, output: MintOutput) -> Self {
        let payee = key.public();
        let signature = key.sign(&claim_message(ledger_id, &payee, claim_seq, &output));
        Self { payee, claim_seq, output, signature }
    }
}

/// Answer to [`ClaimRequest`].
pub type ClaimResponse = Recorded<ClaimEntry>;

/// Answer to `GET /v1/payees/{payee}`. No checkpoint proves it: who wants to be sure audits the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PayeeAccount {
    /// What was charged for the payee and not claimed yet. All accounts together are never worth more than was minted, however
    /// often credits go round, which sums of all that was ever charged would be.
    pub owed: Credits,
    /// How many claims the payee made.
    pub claims: u64,
}

/// The string a payee signs to claim (protocol §4.7).
pub fn claim_message(ledger_id: &Bytes32, payee: &Bytes32, claim_seq: u64, output: &MintOutput) -> Vec<u8> {
    LengthPrefixed::new("cloister/claim/v1")
        .bytes(ledger_id)
        .bytes(payee)
        .number(claim_seq)
        .number(output.value.get())
        .bytes(output.pk)
        .bytes(output.b)
        .finish()
}

/// Whether a claim is the payee's.
pub fn verify_claim(ledger_id: &Bytes32, request: &ClaimRequest) -> Result<(), LedgerError> {
    let ClaimRequest { payee, claim_seq, output, signature } = request;
    // Under a key of small order anybody signs.
    if is_small_order(payee) {
        return Err(LedgerError::ClaimSignature);
    }
    let message = claim_message(ledger_id, payee, *claim_seq, output);
    verify_ed25519(payee, &message, signature).map_err(|_| LedgerError::ClaimSignature)
}

/// A claim whose signature verified, of something.
#[derive(Clone, Debug)]
pub struct VerifiedClaim(ClaimRequest);

impl VerifiedClaim {
    /// Verifies the signature.
    pub fn verify(request: ClaimRequest, ledger_id: &Bytes32) -> Result<Self, LedgerError> {
        verify_claim(ledger_id, &request)?;
        if request.output.value.is_zero() { Err(LedgerError::ClaimZero) } else { Ok(Self(request)) }
    }

    /// The request.
    pub const fn request(&self) -> &ClaimRequest {
        &self.0
    }
}

/// What a ledger knows about a payee's claims.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastClaim {
    /// How many claims came before it.
    pub claim_seq: u64,
    /// The note it opened.
    pub output: MintOutput,
    /// Position of the claim entry in the log.
    pub entry_index: u64,
}

/// What to do about a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimDecision {
    /// It is the payee's last one: answer with the entry at this position.
    Repeat {
        /// Position of the claim entry.
        entry_index: u64,
    },
    /// Record it.
    Record,
}

/// How many claims a payee made whose last one this is.
pub fn claims_made(last: Option<&LastClaim>) -> u64 {
    last.map_or(0, |last| last.claim_seq.saturating_add(1))
}

/// Decides a claim of a payee who is owed so much.
pub fn decide_claim(
    owed: Credits,
    last: Option<&LastClaim>,
    claim: &VerifiedClaim,
) -> Result<ClaimDecision, LedgerError> {
    let request = claim.request();
    if let Some(last) = last
        && (last.claim_seq, last.output) == (request.claim_seq, request.output)
    {
        return Ok(ClaimDecision::Repeat { entry_index: last.entry_index });
    }
    if request.claim_seq != claims_made(last) {
        return Err(LedgerError::ClaimStale);
    }
    if request.output.value > owed { Err(LedgerError::ClaimAboveCharges) } else { Ok(ClaimDecision::Record) }
}

#[cfg(test)]
#[path = "claim_tests.rs"]
mod tests;
