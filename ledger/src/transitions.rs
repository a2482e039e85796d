//! What each operation changes: the decisions of [`credits::state`], carried out on a [`Book`].
//!
//! An operation decides before it writes. A refused one has written nothing, so it can share a transaction with others;
//! the one exception, ending an overdue spend on the way, is complete in itself.

use std::sync::OnceLock;

use credits::claim::{ClaimDecision, LastClaim, VerifiedClaim, decide_claim};
use credits::entry::{ClaimEntry, SettleEntry, VoidEntry};
use credits::fault::VerifiedSlash;
use credits::ledger::REDEEM_OUTPUTS_MAX;
use credits::note::leaf;
use credits::rating::VerifiedRating;
use credits::stake::VerifiedStake;
use credits::state::{
    Finalisation, JournalDecision, ReserveDecision, ReserveFacts, ReservedSpend, SettleDecision, SpendOutcome,
    SpendState, VerifiedJournal, VerifiedSettle, decide_finalise, decide_journal, decide_reserve, decide_settle,
};
use credits::{
    Bytes32, ClaimRequest, Credits, Fe, Inner, JournalEntry, Leaf, LedgerError, LedgerInfo, LogEntry, MintEntry,
    MintOutput, Nullifier, RedeemRequest, ReserveRequest, Root, SettledBy, SignatureBytes, Voucher,
};

use crate::error::{Abort, StoreError};
use crate::hash_ahead::HashedMint;
use crate::identity::Rules;
use crate::merging::{self, ProvedMerge};
use crate::standing;
use crate::storage::{Book, Heads, RedeemedVoucher};

/// Cap on all credits ever minted: one sum of notes must stay an exact amount.
pub const MINTED_TOTAL_MAX: Credits = Credits::MAX;
/// Most reservations that one operation ends.
pub const FINALISED_PER_OP_MAX: usize = 256;

/// An operation on the ledger, its signatures and proofs already verified.
#[derive(Debug)]
pub enum Op {
    /// Redeem a voucher.
    Redeem(VerifiedRedeem),
    /// Reserve a spend.
    Reserve(ProvedReserve),
    /// Record a running total.
    Journal(VerifiedJournal),
    /// Settle a spend.
    Settle(VerifiedSettle),
    /// Turn what a payee was paid into a note.
    Claim(VerifiedClaim),
    /// Make one note of two.
    Merge(ProvedMerge),
    /// Put, back with, or take back a payee's stake.
    Stake(VerifiedStake),
    /// Take a payee's stake for a fault.
    Slash(Box<VerifiedSlash>),
    /// Rate a tab.
    Rate(VerifiedRating),
    /// End reservations that are overdue.
    FinaliseOverdue,
    /// Change nothing; wait until this state, which was read, is as durable as what would be written now.
    Confirm(Heads),
}

/// The records that operations look at before they decide, so that a store can read them at once.
#[derive(Debug, Default)]
pub(crate) struct Mentioned {
    pub(crate) nullifiers: Vec<Nullifier>,
    pub(crate) inners: Vec<Inner>,
    pub(crate) roots: Vec<Root>,
    pub(crate) voucher_ids: Vec<Bytes32>,
}

impl Mentioned {
    pub(crate) fn by(ops: &[Op]) -> Self {
        let mut mentioned = Self::default();
        for op in ops {
            match op {
                Op::Redeem(redeem) => mentioned.voucher_ids.push(redeem.voucher.voucher_id),
                Op::Reserve(ProvedReserve(request)) => {
                    mentioned.nullifiers.push(request.nullifier);
                    mentioned.inners.push(request.inner_next);
                    mentioned.roots.push(request.root);
                }
                Op::Journal(journal) => mentioned.nullifiers.push(journal.request().nullifier),
                Op::Settle(settle) => mentioned.nullifiers.push(settle.request().nullifier),
                Op::Merge(ProvedMerge(request)) => {
                    mentioned.nullifiers.extend(request.nullifiers);
                    mentioned.inners.push(request.inner_next);
                    mentioned.roots.push(request.root);
                }
                Op::Rate(rating) => mentioned.nullifiers.push(rating.request().nullifier),
                Op::Claim(_) | Op::Stake(_) | Op::Slash(_) | Op::FinaliseOverdue | Op::Confirm(_) => {}
            }
        }
        mentioned
    }
}

/// What came of an operation that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is recorded, now or before.
    Recorded,
    /// The voucher's mint entries start at this position.
    Redeemed {
        /// Position of the first.
        first_entry: u64,
    },
    /// It is one entry of the log, at this position.
    Logged {
        /// Its position.
        entry_index: u64,
    },
    /// So many reservations were ended.
    Finalised {
        /// Their number.
        count: usize,
    },
}

/// A redemption whose voucher is the administrator's and whose outputs add up.
#[derive(Debug)]
pub struct VerifiedRedeem {
    voucher: Voucher,
    outputs: Vec<MintOutput>,
    ahead: OnceLock<Vec<HashedMint>>,
}

impl VerifiedRedeem {
    /// Verifies voucher and outputs; whether the voucher is unused is decided later, in the transaction.
    pub fn verify(request: RedeemRequest, info: &LedgerInfo) -> Result<Self, LedgerError> {
        let RedeemRequest { voucher, outputs } = request;
        let voucher = Voucher::from_text(&voucher).map_err(|_| LedgerError::VoucherInvalid)?;
        voucher.verify(&info.admin_key).map_err(|_| LedgerError::VoucherInvalid)?;
        if voucher.ledger_id != info.ledger_id {
            return Err(LedgerError::VoucherInvalid);
        }
        let count_fits = (1..=REDEEM_OUTPUTS_MAX).contains(&outputs.len());
        let none_empty = outputs.iter().all(|output| !output.value.is_zero());
        let sum = Credits::checked_sum(outputs.iter().map(|output| output.value));
        if !count_fits || !none_empty || sum != Some(voucher.value) {
            return Err(LedgerError::OutputsMismatch);
        }
        Ok(Self { voucher, outputs, ahead: OnceLock::new() })
    }

    /// Number of notes it opens.
    pub fn output_count(&self) -> usize {
        self.outputs.len()
    }

    /// Hashes its mints, should the first get this number.
    pub(crate) fn hash_ahead(&self, ledger_id: Bytes32, first: u64) {
        let mints = (first..=u64::MAX)
            .zip(&self.outputs)
            .map(|(mint_seq, output)| HashedMint::new(ledger_id, mint_seq, output));
        self.ahead.get_or_init(|| mints.collect());
    }

    /// Its mints as they were hashed ahead, if they were.
    pub(crate) fn hashed_ahead(&self) -> impl Iterator<Item = &HashedMint> {
        self.ahead.get().into_iter().flatten()
    }
}

/// A reservation whose proof verified.
#[derive(Debug)]
pub struct ProvedReserve(Box<ReserveRequest>);

impl ProvedReserve {
    /// Verifies the proofs of requests; one verdict for each, in their order.
    pub(crate) fn verify_all(
        requests: Vec<ReserveRequest>,
        verifier: &dyn crate::spend_verifier::SpendVerifier,
    ) -> Vec<Result<Self, LedgerError>> {
        let spends: Vec<_> = requests.iter().map(|request| (request.public(), request.proof)).collect();
        let mut verdicts = verifier.verify_spends(&spends).into_iter();
        let proved = |request| {
            // A verdict that is missing is no verdict.
            verdicts.next().unwrap_or(Err(LedgerError::ProofInvalid)).map(|()| Self(Box::new(request)))
        };
        requests.into_iter().map(proved).collect()
    }
}

/// Carries out an operation.
pub fn apply(book: &mut impl Book, rules: &Rules, now: u64, op: &Op) -> Result<Outcome, Abort> {
    match op {
        Op::Redeem(redeem) => apply_redeem(book, rules, redeem),
        Op::Reserve(reserve) => apply_reserve(book, rules, now, reserve),
        Op::Journal(journal) => apply_journal(book, rules, now, journal),
        Op::Settle(settle) => apply_settle(book, rules, now, settle),
        Op::Claim(claim) => apply_claim(book, rules, claim),
        Op::Merge(merge) => merging::apply(book, rules, merge),
        Op::Stake(stake) => standing::stake(book, now, stake),
        Op::Slash(slash) => standing::slash(book, now, slash),
        Op::Rate(rating) => standing::rate(book, rating),
        Op::FinaliseOverdue => Ok(Outcome::Finalised { count: finalise_overdue(book, rules, now)? }),
        Op::Confirm(_) => Ok(Outcome::Recorded),
    }
}

fn apply_redeem(book: &mut impl Book, rules: &Rules, redeem: &VerifiedRedeem) -> Result<Outcome, Abort> {
    let VerifiedRedeem { voucher, outputs, .. } = redeem;
    if let Some(RedeemedVoucher { outputs: redeemed, first_entry }) = book.voucher(&voucher.voucher_id)? {
        return if redeemed == *outputs {
            Ok(Outcome::Redeemed { first_entry })
        } else {
            Err(LedgerError::VoucherUsed.into())
        };
    }
    let minted = book.totals().minted.checked_add(voucher.value).filter(|minted| *minted <= MINTED_TOTAL_MAX);
    book.totals().minted = minted.ok_or(LedgerError::CapExceeded)?;
    let mut positions = Vec::with_capacity(outputs.len());
    let mut ahead = redeem.hashed_ahead();
    for output in outputs {
        positions.push(mint(book, rules, voucher.voucher_id, output, ahead.next())?);
    }
    let first_entry = *positions.first().ok_or(StoreError::Sum { sum: "outputs of a voucher" })?;
    book.put_voucher(&voucher.voucher_id, &RedeemedVoucher { outputs: outputs.clone(), first_entry })?;
    Ok(Outcome::Redeemed { first_entry })
}

fn mint(
    book: &mut impl Book,
    rules: &Rules,
    voucher_id: Bytes32,
    output: &MintOutput,
    ahead: Option<&HashedMint>,
) -> Result<u64, StoreError> {
    let MintOutput { pk, value, b } = *output;
    let OpenedNote { mint_seq, rho, leaf_index, leaf } = open_note_hashed(book, rules, output, ahead)?;
    book.append_entry(&LogEntry::Mint(MintEntry { mint_seq, value, pk, rho, b, leaf_index, leaf, voucher_id }))
}

fn apply_claim(book: &mut impl Book, rules: &Rules, claim: &VerifiedClaim) -> Result<Outcome, Abort> {
    let ClaimRequest { payee, claim_seq, output, signature } = claim.request().clone();
    let last = book.last_claim(&payee)?;
    if let ClaimDecision::Repeat { entry_index } = decide_claim(book.payee_owed(&payee)?, last.as_ref(), claim)? {
        return Ok(Outcome::Logged { entry_index });
    }
    let owed = book.totals().owed.checked_sub(output.value);
    book.totals().owed = owed.ok_or(StoreError::Sum { sum: "accounts of payees" })?;
    book.totals().claims = book.totals().claims.checked_add(1).ok_or(StoreError::Sum { sum: "number of claims" })?;
    let OpenedNote { mint_seq, rho, leaf_index, leaf } = open_note(book, rules, &output)?;
    let MintOutput { pk, value, b } = output;
    let entry = ClaimEntry { payee, claim_seq, mint_seq, value, pk, rho, b, leaf_index, leaf, signature };
    let entry_index = book.append_entry(&LogEntry::Claim(entry))?;
    book.debit_payee(&payee, value)?;
    book.put_claim(&payee, &LastClaim { claim_seq, output, entry_index })?;
    Ok(Outcome::Logged { entry_index })
}

struct OpenedNote {
    mint_seq: u64,
    rho: Fe,
    leaf_index: u64,
    leaf: Leaf,
}

/// Appends a note whose content is public.
fn open_note(book: &mut impl Book, rules: &Rules, output: &MintOutput) -> Result<OpenedNote, StoreError> {
    open_note_hashed(book, rules, output, None)
}

/// The same, of an output that was hashed with a number that may be its own.
fn open_note_hashed(
    book: &mut impl Book,
    rules: &Rules,
    output: &MintOutput,
    ahead: Option<&HashedMint>,
) -> Result<OpenedNote, StoreError> {
    let mint_seq = book.totals().mint_seq;
    book.totals().mint_seq = mint_seq.checked_add(1).ok_or(StoreError::Sum { sum: "number of mints" })?;
    let ahead = ahead.filter(|ahead| ahead.mint_seq == mint_seq).copied();
    let hashed = ahead.unwrap_or_else(|| HashedMint::new(rules.reserve.ledger_id, mint_seq, output));
    let HashedMint { rho, leaf, .. } = hashed;
    Ok(OpenedNote { mint_seq, rho, leaf_index: book.append_note(leaf)?, leaf })
}

fn apply_reserve(book: &mut impl Book, rules: &Rules, now: u64, proved: &ProvedReserve) -> Result<Outcome, Abort> {
    let ProvedReserve(request) = proved;
    let recorded = book.spend(&request.nullifier)?;
    let facts = ReserveFacts {
        recorded: recorded.as_ref(),
        inner_used: book.inner_used(&request.inner_next)?,
        root_recent: book.root_recent(&request.root, rules.root_window)?,
    };
    match decide_reserve(request, facts, &rules.reserve, now)? {
        ReserveDecision::Repeat { .. } => {}
        ReserveDecision::Record => {
            let entry_index = book.append_entry(&LogEntry::Reserve(request.entry()))?;
            let ReserveRequest { nullifier, inner_next, c_max, context, .. } = ReserveRequest::clone(request);
            book.use_inner(&inner_next, &nullifier)?;
            book.set_due(context.not_after, &nullifier)?;
            let spend = ReservedSpend { inner_next, c_max, context, entry_index, journalled: None };
            book.put_spend(&nullifier, &SpendState::Reserved(spend))?;
        }
    }
    Ok(Outcome::Recorded)
}

fn apply_journal(book: &mut impl Book, rules: &Rules, now: u64, journal: &VerifiedJournal) -> Result<Outcome, Abort> {
    let request = journal.request();
    let state = current_state(book, rules, now, &request.nullifier)?;
    match (decide_journal(&state, journal)?, state) {
        (JournalDecision::Record, SpendState::Reserved(mut spend)) => {
            let (nullifier, total, signature) = (request.nullifier, request.total, request.signature);
            book.append_entry(&LogEntry::Journal(JournalEntry { nullifier, total, signature }))?;
            spend.journalled = Some(total);
            book.put_spend(&nullifier, &SpendState::Reserved(spend))?;
        }
        (JournalDecision::Repeat, _) => {}
        (JournalDecision::Record, _) => return Err(StoreError::Missing { record: "reservation" }.into()),
    }
    Ok(Outcome::Recorded)
}

fn apply_settle(book: &mut impl Book, rules: &Rules, now: u64, settle: &VerifiedSettle) -> Result<Outcome, Abort> {
    let request = settle.request();
    let state = current_state(book, rules, now, &request.nullifier)?;
    match (decide_settle(&state, settle)?, state) {
        (SettleDecision::Record { refund }, SpendState::Reserved(spend)) => {
            let how = Ending::Guardian(request.signature);
            let leaf = settle.leaf(spend.inner_next, refund);
            end(book, &request.nullifier, spend, request.charge, (refund, leaf), how)?;
        }
        (SettleDecision::Repeat(_), _) => {}
        // Nothing is acknowledged that was not recorded.
        (SettleDecision::Record { .. }, _) => return Err(StoreError::Missing { record: "reservation" }.into()),
    }
    Ok(Outcome::Recorded)
}

/// A spend's state after ending it when it is overdue.
fn current_state(book: &mut impl Book, rules: &Rules, now: u64, nullifier: &Nullifier) -> Result<SpendState, Abort> {
    let state = book.spend(nullifier)?.ok_or(LedgerError::NotFound)?;
    match (decide_finalise(&state, rules.grace_secs, now), state) {
        (Some(finalisation), SpendState::Reserved(spend)) => Ok(finalise(book, nullifier, spend, finalisation)?),
        (_, state) => Ok(state),
    }
}

fn finalise_overdue(book: &mut impl Book, rules: &Rules, now: u64) -> Result<usize, StoreError> {
    // Overdue is `not_after + grace < now`; without that much past there is nothing.
    let Some(before) = now.checked_sub(rules.grace_secs) else { return Ok(0) };
    let overdue = book.due(before, FINALISED_PER_OP_MAX)?;
    for nullifier in &overdue {
        let state = book.spend(nullifier)?.ok_or(StoreError::Missing { record: "spend that is due" })?;
        let (Some(finalisation), SpendState::Reserved(spend)) = (decide_finalise(&state, rules.grace_secs, now), state)
        else {
            return Err(StoreError::Missing { record: "reservation that is due" });
        };
        finalise(book, nullifier, spend, finalisation)?;
    }
    Ok(overdue.len())
}

fn finalise(
    book: &mut impl Book,
    nullifier: &Nullifier,
    spend: ReservedSpend,
    finalisation: Finalisation,
) -> Result<SpendState, StoreError> {
    let (charge, refund, how) = match finalisation {
        Finalisation::Settle { charge, refund } => (charge, refund, Ending::LedgerSettles),
        Finalisation::Void { refund } => (Credits::ZERO, refund, Ending::LedgerVoids),
    };
    let leaf = leaf(spend.inner_next, refund);
    end(book, nullifier, spend, charge, (refund, leaf), how)
}

/// How a spend ends.
enum Ending {
    Guardian(SignatureBytes),
    LedgerSettles,
    LedgerVoids,
}

/// Ends a spend: one successor leaf, one entry, the payee credited, the state terminal.
fn end(
    book: &mut impl Book,
    nullifier: &Nullifier,
    spend: ReservedSpend,
    charge: Credits,
    (refund, leaf): (Credits, Leaf),
    how: Ending,
) -> Result<SpendState, StoreError> {
    if charge.checked_add(refund) != Some(spend.c_max) {
        return Err(StoreError::Sum { sum: "charge and refund" });
    }
    let leaf_index = book.append_note(leaf)?;
    let nullifier = *nullifier;
    let settle =
        |by, signature| LogEntry::Settle(SettleEntry { nullifier, charge, refund, leaf_index, leaf, by, signature });
    let (entry, by) = match how {
        Ending::Guardian(signature) => (settle(SettledBy::Guardian, Some(signature)), Some(SettledBy::Guardian)),
        Ending::LedgerSettles => (settle(SettledBy::Ledger, None), Some(SettledBy::Ledger)),
        Ending::LedgerVoids => (LogEntry::Void(VoidEntry { nullifier, refund, leaf_index, leaf }), None),
    };
    let entry_index = book.append_entry(&entry)?;
    // Notes, reservations and accounts together are worth what was minted: this is never above it.
    let owed = book.totals().owed.checked_add(charge);
    book.totals().owed = owed.ok_or(StoreError::Sum { sum: "accounts of payees" })?;
    if !charge.is_zero() {
        book.credit_payee(&spend.context.payee, charge)?;
    }
    book.clear_due(spend.context.not_after, &nullifier)?;
    let outcome = SpendOutcome { charge, refund, leaf, leaf_index, entry_index, rated: None };
    let state = match by {
        Some(by) => SpendState::Settled { spend, outcome, by },
        None => SpendState::Voided { spend, outcome },
    };
    book.put_spend(&nullifier, &state)?;
    Ok(state)
}
