//! Stakes, what loses them, and ratings: the decisions of [`credits::stake`], [`credits::fault`] and [`credits::rating`], carried
//! out on a [`Book`].

use credits::fault::{SlashDecision, VerifiedSlash, decide_slash};
use credits::rating::{Rated, RatingDecision, VerifiedRating, decide_rating};
use credits::stake::{StakeAct, StakeDecision, StakeMove, VerifiedStake};
use credits::state::SpendState;
use credits::{Credits, LedgerError, LogEntry, RatingEntry, RatingRequest, SlashEntry, SlashRequest, StakeEntry};

use crate::error::{Abort, StoreError};
use crate::storage::Book;
use crate::transitions::Outcome;

/// Decides an act on a stake; the account that it puts from is asked, too.
pub(crate) fn decide_stake(
    bond: &credits::Bond,
    owed: Credits,
    stake: &VerifiedStake,
    now: u64,
) -> Result<StakeDecision, LedgerError> {
    let decision = bond.decide(stake.request(), now)?;
    match (decision, stake.request().act) {
        (StakeDecision::Record, StakeAct::Put { amount }) if amount > owed => Err(LedgerError::StakeAboveOwed),
        _ => Ok(decision),
    }
}

pub(crate) fn stake(book: &mut impl Book, now: u64, stake: &VerifiedStake) -> Result<Outcome, Abort> {
    let request = stake.request().clone();
    let payee = request.payee;
    let mut bond = book.bond(&payee)?.unwrap_or_default();
    if let StakeDecision::Repeat { entry_index } = decide_stake(&bond, book.payee_owed(&payee)?, stake, now)? {
        return Ok(Outcome::Logged { entry_index });
    }
    let entry = StakeEntry { payee, seq: request.seq, act: request.act, at: now, signature: request.signature };
    let entry_index = book.append_entry(&LogEntry::Stake(entry))?;
    let moved = bond.carry_out(request.act, now, entry_index);
    let totals = book.totals();
    let (owed, staked) = match moved {
        StakeMove::In(amount) => (totals.owed.checked_sub(amount), totals.staked.checked_add(amount)),
        StakeMove::Nothing => (Some(totals.owed), Some(totals.staked)),
        StakeMove::Out(amount) => (totals.owed.checked_add(amount), totals.staked.checked_sub(amount)),
    };
    totals.owed = owed.ok_or(OWED)?;
    totals.staked = staked.ok_or(STAKED)?;
    totals.stake_acts = totals.stake_acts.checked_add(1).ok_or(STAKED)?;
    match moved {
        StakeMove::In(amount) => book.debit_payee(&payee, amount)?,
        StakeMove::Nothing => {}
        StakeMove::Out(amount) => book.credit_payee(&payee, amount)?,
    }
    book.put_bond(&payee, &bond)?;
    Ok(Outcome::Logged { entry_index })
}

pub(crate) fn slash(book: &mut impl Book, now: u64, slash: &VerifiedSlash) -> Result<Outcome, Abort> {
    let SlashRequest { payee, settle_key, evidence, reporter } = slash.request().clone();
    let bond = book.bond(&payee)?;
    let (amount, reward) = match decide_slash(bond.as_ref(), slash, now)? {
        SlashDecision::Repeat { entry_index } => return Ok(Outcome::Logged { entry_index }),
        SlashDecision::Record { amount, reward } => (amount, reward),
    };
    let mut bond = bond.ok_or(StoreError::Missing { record: "stake" })?;
    let entry = SlashEntry { payee, settle_key, evidence, reporter, at: now, amount, reward };
    let burnt = entry.burnt().ok_or(STAKED)?;
    let entry_index = book.append_entry(&LogEntry::Slash(entry))?;
    let totals = book.totals();
    totals.staked = totals.staked.checked_sub(amount).ok_or(STAKED)?;
    totals.owed = totals.owed.checked_add(reward).ok_or(OWED)?;
    totals.burnt = totals.burnt.checked_add(burnt).ok_or(STAKED)?;
    if !reward.is_zero() {
        book.credit_payee(&reporter, reward)?;
    }
    if bond.slash(slash.request().digest(), entry_index) != amount {
        return Err(STAKED.into());
    }
    book.put_bond(&payee, &bond)?;
    Ok(Outcome::Logged { entry_index })
}

pub(crate) fn rate(book: &mut impl Book, rating: &VerifiedRating) -> Result<Outcome, Abort> {
    let RatingRequest { nullifier, score, signature } = *rating.request();
    let state = book.spend(&nullifier)?.ok_or(LedgerError::NotFound)?;
    if let RatingDecision::Repeat { entry_index } = decide_rating(&state, rating)? {
        return Ok(Outcome::Logged { entry_index });
    }
    let SpendState::Settled { spend, mut outcome, by } = state else {
        return Err(StoreError::Missing { record: "outcome of a settled spend" }.into());
    };
    let entry_index = book.append_entry(&LogEntry::Rating(RatingEntry { nullifier, score, signature }))?;
    outcome.rated = Some(Rated { score, entry_index });
    book.put_spend(&nullifier, &SpendState::Settled { spend, outcome, by })?;
    Ok(Outcome::Logged { entry_index })
}

const OWED: StoreError = StoreError::Sum { sum: "accounts of payees" };
const STAKED: StoreError = StoreError::Sum { sum: "stakes" };
