//! Checks of answers against requests, without the network.

use credits::entry::{ClaimEntry, SettleEntry, VoidEntry};
use credits::merkle::verify_inclusion;
use credits::note::{Blind, inner, leaf, mint_rho};
use credits::{
    Bytes32, ClaimRequest, ClaimResponse, Credits, LedgerError, LogEntry, LogPage, MergeEntry, MergeRequest,
    MergeResponse, MintEntry, MintOutput, RatingEntry, RatingRequest, RatingResponse, Recorded, RedeemRequest,
    RedeemResponse, ReserveEntry, ReserveRequest, SettleRequest, SettleResponse, SettledBy, SlashEntry, SlashRequest,
    SlashResponse, StakeEntry, StakeRequest, StakeResponse, Voucher,
};

/// Whether an entry records the spend of a request, whatever its root and proof.
pub(crate) fn is_same_spend(entry: &ReserveEntry, request: &ReserveRequest) -> bool {
    entry.nullifier == request.nullifier
        && entry.inner_next == request.inner_next
        && entry.c_max == request.c_max
        && entry.context == request.context
}

/// The minted notes are those that were asked for. That they are in the log, wallets see when they replay it.
pub(crate) fn redeem(
    ledger_id: &Bytes32,
    request: &RedeemRequest,
    response: &RedeemResponse,
) -> Result<(), LedgerError> {
    // A ledger that redeems a voucher this client cannot read is not answering this request.
    let voucher = Voucher::from_text(&request.voucher).map_err(|_| LedgerError::AnswerMismatch)?;
    let is_asked = |(output, entry): (&MintOutput, &MintEntry)| {
        let rho = mint_rho(*ledger_id, entry.mint_seq);
        let minted = leaf(inner(output.pk, output.value, rho, Blind(output.b)), Credits::ZERO);
        (entry.pk, entry.value, entry.b) == (output.pk, output.value, output.b)
            && (entry.rho, entry.leaf, entry.voucher_id) == (rho, minted, voucher.voucher_id)
    };
    let counts_agree = request.outputs.len() == response.entries.len();
    if counts_agree && request.outputs.iter().zip(&response.entries).all(is_asked) {
        Ok(())
    } else {
        Err(LedgerError::AnswerMismatch)
    }
}

/// The entry is of this claim and opens its note.
pub(crate) fn claim(ledger_id: &Bytes32, request: &ClaimRequest, response: &ClaimResponse) -> Result<(), LedgerError> {
    let ClaimEntry { mint_seq, value, pk, rho, b, leaf: minted, .. } = response.entry;
    let expected = leaf(inner(pk, value, mint_rho(*ledger_id, mint_seq), Blind(b)), Credits::ZERO);
    let is_asked = response.entry.request() == *request && rho == mint_rho(*ledger_id, mint_seq) && minted == expected;
    if is_asked { Ok(()) } else { Err(LedgerError::AnswerMismatch) }
}

/// The log holds the entry of an answer.
pub(crate) fn is_logged<E: Clone>(
    response: &Recorded<E>,
    entry: impl FnOnce(E) -> LogEntry,
) -> Result<(), LedgerError> {
    let Recorded { entry_index, inclusion, checkpoint, .. } = response;
    let leaf = entry(response.entry.clone()).leaf_hash();
    verify_inclusion(leaf, *entry_index, checkpoint.log_size, inclusion, &checkpoint.log_root)
        .map_err(|_| LedgerError::InclusionInvalid)
}

/// The entry is of this act, whichever signature of it came first.
pub(crate) fn stake(request: &StakeRequest, response: &StakeResponse) -> Result<(), LedgerError> {
    let StakeEntry { payee, seq, act, .. } = response.entry;
    let is_asked = (payee, seq, act) == (request.payee, request.seq, request.act);
    if is_asked { Ok(()) } else { Err(LedgerError::AnswerMismatch) }
}

/// The entry is of this evidence, and its sums are those of the rule.
pub(crate) fn slash(request: &SlashRequest, response: &SlashResponse) -> Result<(), LedgerError> {
    let SlashEntry { payee, settle_key, ref evidence, reporter, at: _, amount, reward } = response.entry;
    let shown = SlashRequest { payee, settle_key, evidence: evidence.clone(), reporter };
    let is_asked = shown == *request && reward == credits::fault::reward(amount);
    if is_asked { Ok(()) } else { Err(LedgerError::AnswerMismatch) }
}

/// The entry is of this rating, whichever signature of it came first.
pub(crate) fn rating(request: &RatingRequest, response: &RatingResponse) -> Result<(), LedgerError> {
    let RatingEntry { nullifier, score, .. } = response.entry;
    let is_asked = (nullifier, score) == (request.nullifier, request.score);
    if is_asked { Ok(()) } else { Err(LedgerError::AnswerMismatch) }
}

/// The entry is of this merge, whatever its root and proof, and its note is the successor.
pub(crate) fn merge(request: &MergeRequest, response: &MergeResponse) -> Result<(), LedgerError> {
    let MergeEntry { nullifiers, inner_next, leaf, .. } = &response.entry;
    let is_asked = request.is_same_merge(nullifiers, inner_next) && *leaf == request.leaf();
    if is_asked { Ok(()) } else { Err(LedgerError::AnswerMismatch) }
}

/// The log holds an entry of this outcome: the guardian's own settlement, or the ledger's at the same charge.
pub(crate) fn settlement_is_logged(request: &SettleRequest, response: &SettleResponse) -> Result<(), LedgerError> {
    let SettleResponse { nullifier, charge, refund, leaf, leaf_index, entry_index, inclusion, checkpoint } = response;
    let (nullifier, charge, refund, leaf, leaf_index) = (*nullifier, *charge, *refund, *leaf, *leaf_index);
    let settle =
        |by, signature| LogEntry::Settle(SettleEntry { nullifier, charge, refund, leaf_index, leaf, by, signature });
    let candidates = [
        Some(settle(SettledBy::Guardian, Some(request.signature))),
        Some(settle(SettledBy::Ledger, None)),
        charge.is_zero().then_some(LogEntry::Void(VoidEntry { nullifier, refund, leaf_index, leaf })),
    ];
    let is_logged = candidates.into_iter().flatten().any(|entry| {
        let leaf = entry.leaf_hash();
        verify_inclusion(leaf, *entry_index, checkpoint.log_size, inclusion, &checkpoint.log_root).is_ok()
    });
    if is_logged { Ok(()) } else { Err(LedgerError::InclusionInvalid) }
}

/// A page is no longer than asked and lies within its checkpoint's log; it is empty only at that log's end.
pub(crate) fn page(page: &LogPage, from: u64, limit: u32) -> Result<(), LedgerError> {
    let count = u64::try_from(page.entries.len()).map_err(|_| LedgerError::AnswerMismatch)?;
    let end = from.checked_add(count).filter(|end| *end <= page.checkpoint.log_size);
    let empty_at_end_only = count > 0 || from == page.checkpoint.log_size;
    if count <= u64::from(limit) && end.is_some() && empty_at_end_only {
        Ok(())
    } else {
        Err(LedgerError::AnswerMismatch)
    }
}
