//! Merges: two notes become one, in one step. `docs/protocol.md` §4.9.

use credits::state::{MergeDecision, MergeFacts, MergedNotes, SpendState, decide_merge};
use credits::{LedgerError, MergeEntry, MergeRequest};

use crate::error::Abort;
use crate::identity::Rules;
use crate::storage::{Book, Facts};
use crate::transitions::Outcome;

/// A merge whose proof verified. Only [`crate::proof_queue::ProofQueue`] makes one.
#[derive(Debug)]
pub struct ProvedMerge(pub(crate) MergeRequest);

/// Decides a merge on what a store knows, all but its proof.
pub(crate) fn decide<F: Facts + ?Sized>(
    facts: &F,
    rules: &Rules,
    request: &MergeRequest,
) -> Result<MergeDecision, Abort> {
    let [first, second] = &request.nullifiers;
    let (first, second) = (facts.spend(first)?, facts.spend(second)?);
    let facts = MergeFacts {
        recorded: [first.as_ref(), second.as_ref()],
        inner_used: facts.inner_used(&request.inner_next)?,
        root_recent: facts.root_recent(&request.root, rules.root_window)?,
    };
    Ok(decide_merge(request, facts)?)
}

/// Records both nullifiers and appends the successor.
pub(crate) fn apply(book: &mut impl Book, rules: &Rules, proved: &ProvedMerge) -> Result<Outcome, Abort> {
    let ProvedMerge(request) = proved;
    if let MergeDecision::Repeat { entry_index } = decide(book, rules, request)? {
        return Ok(Outcome::Logged { entry_index });
    }
    let MergeRequest { root, nullifiers, inner_next, proof } = request.clone();
    let [first, second] = nullifiers;
    let leaf = request.leaf();
    let leaf_index = book.append_note(leaf)?;
    let entry = MergeEntry { root, nullifiers, inner_next, leaf_index, leaf, proof };
    let entry_index = book.append_entry(&credits::LogEntry::Merge(entry))?;
    book.use_inner(&inner_next, &first)?;
    let state = SpendState::Merged(MergedNotes { nullifiers, inner_next, entry_index });
    book.put_spend(&first, &state)?;
    book.put_spend(&second, &state)?;
    Ok(Outcome::Logged { entry_index })
}

/// The context of merges, or the refusal of a ledger that makes none.
pub(crate) fn context(info: &credits::LedgerInfo) -> Result<credits::Fe, LedgerError> {
    let vk_digest = info.merge_vk_digest().ok_or(LedgerError::MergeNotOffered)?;
    Ok(credits::merge::merge_ctx(&info.ledger_id, &vk_digest))
}
