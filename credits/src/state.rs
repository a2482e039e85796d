//! The rules of a spend's life, without storage: what a ledger decides when it is asked to reserve, journal, settle, merge or
//! finalise. `docs/protocol.md` §4.1; `design/credits.md` §1.4.
//!
//! Every store applies these decisions inside one transaction, on facts read in that transaction. The invariant they
//! keep: a spend in a terminal state has exactly one successor leaf, and `c_max = charge + refund`; a merge has one for its two
//! nullifiers.

use serde::{Deserialize, Serialize};

use crate::bytes::Bytes32;
use crate::context::SpendContext;
use crate::entry::SettledBy;
use crate::keys::verify_ed25519;
use crate::ledger::{JournalRequest, LedgerError, ReserveRequest, SettleRequest, journal_message, settle_message};
use crate::merge::MergeRequest;
use crate::note::{Inner, Leaf, Nullifier, leaf};
use crate::rating::Rated;
use crate::value::Credits;

/// A reservation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReservedSpend {
    /// Hidden part of the successor note.
    pub inner_next: Inner,
    /// What is reserved.
    pub c_max: Credits,
    /// What the spend is bound to.
    pub context: SpendContext,
    /// Position of the reserve entry in the log.
    pub entry_index: u64,
    /// The last journalled running total.
    pub journalled: Option<Credits>,
}

/// How a spend ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpendOutcome {
    /// What was charged; zero when void.
    pub charge: Credits,
    /// What went back.
    pub refund: Credits,
    /// The successor note's leaf.
    pub leaf: Leaf,
    /// Position of the successor note in the note tree.
    pub leaf_index: u64,
    /// Position of the settle or void entry in the log.
    pub entry_index: u64,
    /// What its payer thought of it, if he said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rated: Option<Rated>,
}

/// Where a recorded spend stands. A nullifier without a record is ABSENT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum SpendState {
    /// It holds `c_max` of a note.
    Reserved(ReservedSpend),
    /// It was charged.
    Settled {
        /// The reservation.
        spend: ReservedSpend,
        /// What came of it.
        outcome: SpendOutcome,
        /// Who settled.
        by: SettledBy,
    },
    /// It was given back whole.
    Voided {
        /// The reservation.
        spend: ReservedSpend,
        /// What came of it.
        outcome: SpendOutcome,
    },
    /// Its note was merged with another.
    Merged(MergedNotes),
}

/// A merge, recorded under both nullifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MergedNotes {
    /// The notes.
    pub nullifiers: [Nullifier; 2],
    /// Hidden part of the successor note.
    pub inner_next: Inner,
    /// Position of the merge entry in the log.
    pub entry_index: u64,
}

impl SpendState {
    /// The reservation; none for a note that was merged.
    pub const fn spend(&self) -> Option<&ReservedSpend> {
        match self {
            Self::Reserved(spend) | Self::Settled { spend, .. } | Self::Voided { spend, .. } => Some(spend),
            Self::Merged(_) => None,
        }
    }

    /// The outcome, when there is one.
    pub const fn outcome(&self) -> Option<&SpendOutcome> {
        match self {
            Self::Reserved(_) | Self::Merged(_) => None,
            Self::Settled { outcome, .. } | Self::Voided { outcome, .. } => Some(outcome),
        }
    }
}

/// What a ledger fixes for every reservation.
#[derive(Clone, Copy, Debug)]
pub struct ReserveRules {
    /// This ledger.
    pub ledger_id: Bytes32,
    /// Its verifying key.
    pub vk_digest: Bytes32,
    /// Longest reservation.
    pub tab_secs_max: u64,
}

/// What the store knows about a reservation that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct ReserveFacts<'a> {
    /// The record of its nullifier.
    pub recorded: Option<&'a SpendState>,
    /// Whether another spend used its `inner_next`.
    pub inner_used: bool,
    /// Whether its root is one of the recent roots.
    pub root_recent: bool,
}

/// What to do about a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReserveDecision {
    /// It is recorded already: answer with the entry at this position.
    Repeat {
        /// Position of the reserve entry.
        entry_index: u64,
    },
    /// Record it, provided its proof verifies.
    Record,
}

/// Decides a reservation, all but its proof.
pub fn decide_reserve(
    request: &ReserveRequest,
    facts: ReserveFacts<'_>,
    rules: &ReserveRules,
    now: u64,
) -> Result<ReserveDecision, LedgerError> {
    // The nullifier decides first: a repeat is answered whatever has become of its root, its deadline or its spend, and
    // whatever its proof bytes are, since proofs can be re-randomised.
    if let Some(recorded) = facts.recorded {
        let same = |recorded: &&ReservedSpend| {
            recorded.context == request.context
                && recorded.inner_next == request.inner_next
                && recorded.c_max == request.c_max
        };
        return match recorded.spend().filter(same) {
            Some(recorded) => Ok(ReserveDecision::Repeat { entry_index: recorded.entry_index }),
            None => Err(LedgerError::SpendConflict),
        };
    }
    let context = &request.context;
    if context.ledger_id != rules.ledger_id || context.vk_digest != rules.vk_digest {
        return Err(LedgerError::LedgerMismatch);
    }
    if request.c_max.is_zero() {
        return Err(LedgerError::ReserveZero);
    }
    if context.not_after <= now {
        return Err(LedgerError::Expired);
    }
    if context.not_after > now.saturating_add(rules.tab_secs_max) {
        return Err(LedgerError::NotAfterTooFar);
    }
    if facts.inner_used {
        return Err(LedgerError::InnerReused);
    }
    if !facts.root_recent {
        return Err(LedgerError::RootUnknown);
    }
    Ok(ReserveDecision::Record)
}

/// What the store knows about a merge that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct MergeFacts<'a> {
    /// The records of its nullifiers.
    pub recorded: [Option<&'a SpendState>; 2],
    /// Whether another spend or merge used its `inner_next`.
    pub inner_used: bool,
    /// Whether its root is one of the recent roots.
    pub root_recent: bool,
}

/// What to do about a merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeDecision {
    /// It is recorded already: answer with the entry at this position.
    Repeat {
        /// Position of the merge entry.
        entry_index: u64,
    },
    /// Record it, provided its proof verifies.
    Record,
}

/// Decides a merge, all but its proof.
pub fn decide_merge(request: &MergeRequest, facts: MergeFacts<'_>) -> Result<MergeDecision, LedgerError> {
    let [first, second] = request.nullifiers;
    // The statement says so, too; the ledger's books must not hang on a proof alone.
    if first == second {
        return Err(LedgerError::MergeOneNote);
    }
    // As in a reservation, a repeat is answered whatever has become of its root and whatever its proof bytes are.
    match facts.recorded {
        [None, None] => {}
        [Some(SpendState::Merged(merged)), Some(SpendState::Merged(other))]
            if merged == other && request.is_same_merge(&merged.nullifiers, &merged.inner_next) =>
        {
            return Ok(MergeDecision::Repeat { entry_index: merged.entry_index });
        }
        _ => return Err(LedgerError::SpendConflict),
    }
    if facts.inner_used {
        return Err(LedgerError::InnerReused);
    }
    if facts.root_recent { Ok(MergeDecision::Record) } else { Err(LedgerError::RootUnknown) }
}

/// A running total whose signature verified under one settle key.
#[derive(Clone, Debug)]
pub struct VerifiedJournal {
    request: JournalRequest,
    settle_key: Bytes32,
}

impl VerifiedJournal {
    /// Verifies the signature.
    pub fn verify(request: JournalRequest, ledger_id: &Bytes32, settle_key: Bytes32) -> Result<Self, LedgerError> {
        let message = journal_message(ledger_id, &request.nullifier, request.total);
        verify_ed25519(&settle_key, &message, &request.signature).map_err(|_| LedgerError::JournalSignature)?;
        Ok(Self { request, settle_key })
    }

    /// The request.
    pub const fn request(&self) -> &JournalRequest {
        &self.request
    }
}

/// What to do about a running total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalDecision {
    /// It is the last one already.
    Repeat,
    /// Record it.
    Record,
}

/// Decides a running total for the spend of its nullifier.
pub fn decide_journal(state: &SpendState, journal: &VerifiedJournal) -> Result<JournalDecision, LedgerError> {
    let SpendState::Reserved(spend) = state else { return Err(LedgerError::JournalFinalised) };
    if journal.settle_key != spend.context.settle_key {
        return Err(LedgerError::JournalSignature);
    }
    let total = journal.request.total;
    if total > spend.c_max {
        return Err(LedgerError::JournalAboveReserve);
    }
    match spend.journalled {
        Some(last) if total < last => Err(LedgerError::JournalDecreasing),
        Some(last) if total == last => Ok(JournalDecision::Repeat),
        _ => Ok(JournalDecision::Record),
    }
}

/// A settlement whose signature verified under one settle key.
#[derive(Clone, Debug)]
pub struct VerifiedSettle {
    request: SettleRequest,
    settle_key: Bytes32,
    ahead: Option<LeafAhead>,
}

/// A successor's leaf, and what it was worked out from.
#[derive(Clone, Copy, Debug)]
struct LeafAhead {
    inner_next: Inner,
    refund: Credits,
    leaf: Leaf,
}

impl VerifiedSettle {
    /// Verifies the signature.
    pub fn verify(request: SettleRequest, ledger_id: &Bytes32, settle_key: Bytes32) -> Result<Self, LedgerError> {
        let message = settle_message(ledger_id, &request.nullifier, request.charge);
        verify_ed25519(&settle_key, &message, &request.signature).map_err(|_| LedgerError::SettleSignature)?;
        Ok(Self { request, settle_key, ahead: None })
    }

    /// Works out the successor's leaf, so that the transaction, in which others wait, need not: of a spend that is expected to be
    /// recorded with these.
    pub fn hash_ahead(&mut self, inner_next: Inner, c_max: Credits) {
        let refund = c_max.checked_sub(self.request.charge);
        self.ahead = refund.map(|refund| LeafAhead { inner_next, refund, leaf: leaf(inner_next, refund) });
    }

    /// The successor's leaf, whatever was expected.
    pub fn leaf(&self, inner_next: Inner, refund: Credits) -> Leaf {
        match self.ahead {
            Some(ahead) if ahead.inner_next == inner_next && ahead.refund == refund => ahead.leaf,
            _ => leaf(inner_next, refund),
        }
    }

    /// The request.
    pub const fn request(&self) -> &SettleRequest {
        &self.request
    }
}

/// What to do about a settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettleDecision {
    /// The spend has this outcome already.
    Repeat(SpendOutcome),
    /// Record it with this refund.
    Record {
        /// `c_max − charge`.
        refund: Credits,
    },
}

/// Decides a settlement for the spend of its nullifier.
pub fn decide_settle(state: &SpendState, settle: &VerifiedSettle) -> Result<SettleDecision, LedgerError> {
    let spend = state.spend().ok_or(LedgerError::NotFound)?;
    if settle.settle_key != spend.context.settle_key {
        return Err(LedgerError::SettleSignature);
    }
    let charge = settle.request.charge;
    // Above the reserve is impossible in any state, so it is told apart from a conflict.
    let refund = spend.c_max.checked_sub(charge).ok_or(LedgerError::SettleAboveReserve)?;
    match state.outcome() {
        // A void spend was charged nothing: settling it at nothing is a repeat.
        Some(outcome) if outcome.charge == charge => Ok(SettleDecision::Repeat(*outcome)),
        Some(_) => Err(LedgerError::SettleConflict),
        None if spend.journalled.is_some_and(|last| charge < last) => Err(LedgerError::SettleBelowJournal),
        None => Ok(SettleDecision::Record { refund }),
    }
}

/// How the ledger itself ends a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finalisation {
    /// Charge the last journalled total.
    Settle {
        /// That total.
        charge: Credits,
        /// The rest.
        refund: Credits,
    },
    /// Nothing was journalled: give all of it back.
    Void {
        /// `c_max`.
        refund: Credits,
    },
}

/// Decides whether the ledger itself ends a spend now: a reservation, once `not_after + grace_secs` has passed.
pub fn decide_finalise(state: &SpendState, grace_secs: u64, now: u64) -> Option<Finalisation> {
    let SpendState::Reserved(spend) = state else { return None };
    if now <= spend.context.not_after.saturating_add(grace_secs) {
        return None;
    }
    match spend.journalled {
        None => Some(Finalisation::Void { refund: spend.c_max }),
        Some(charge) => {
            let refund = spend.c_max.checked_sub(charge).expect("invariant: a journalled total is never above c_max");
            Some(Finalisation::Settle { charge, refund })
        }
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
