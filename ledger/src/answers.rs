//! Answers, read from one committed state and sealed with its checkpoint.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use credits::merkle::{ProofError, consistency_proof, inclusion_proof, verify_consistency};
use credits::{
    Bytes32, Checkpoint, CheckpointAnswer, LedgerError, LogEntry, LogPage, MintEntry, Nullifier, Recorded,
    RedeemResponse, Reservation, SettleResponse,
};

use crate::error::{Abort, StoreError};
use crate::identity::LedgerIdentity;
use crate::storage::{Heads, View};

/// Most checkpoints that are kept: answers about one state and the next are given at the same time.
const SIGNED_MAX: usize = 4;

/// The checkpoints that were signed last. One of the same state and the same second has the same bytes, its signature included
/// (RFC 8032 signs without chance), so it is signed once for all answers that it seals.
#[derive(Default)]
pub(crate) struct Signed(Mutex<VecDeque<(Heads, Checkpoint)>>);

/// Signs the checkpoint of an answer.
pub(crate) struct Signer<'a> {
    pub(crate) identity: &'a LedgerIdentity,
    pub(crate) signed: &'a Signed,
    pub(crate) now: u64,
}

impl Signer<'_> {
    pub(crate) fn checkpoint(&self, view: &dyn View) -> Checkpoint {
        let heads = view.heads();
        // Held while it is signed: who needs the same one waits for it.
        let mut signed = self.signed.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |(of, checkpoint): &&(Heads, Checkpoint)| *of == heads && checkpoint.time == self.now;
        if let Some((_, checkpoint)) = signed.iter().rev().find(same) {
            return checkpoint.clone();
        }
        let checkpoint = self.identity.sign_checkpoint(&heads, self.now);
        signed.push_back((heads, checkpoint.clone()));
        if signed.len() > SIGNED_MAX {
            signed.pop_front();
        }
        checkpoint
    }
}

pub(crate) fn redeem(
    signer: &Signer<'_>,
    view: &dyn View,
    first_entry: u64,
    count: usize,
) -> Result<RedeemResponse, Abort> {
    let count = u64::try_from(count).map_err(|_| StoreError::Missing { record: "mint entry" })?;
    let mint = |entry| -> Result<MintEntry, StoreError> {
        match entry {
            LogEntry::Mint(mint) => Ok(mint),
            _ => Err(StoreError::Missing { record: "mint entry" }),
        }
    };
    let entries = view.entries(first_entry, count)?.into_iter().map(mint).collect::<Result<_, _>>()?;
    Ok(RedeemResponse { entries, checkpoint: signer.checkpoint(view) })
}

pub(crate) fn reservation(signer: &Signer<'_>, view: &dyn View, nullifier: &Nullifier) -> Result<Reservation, Abort> {
    let state = view.spend(nullifier)?.ok_or(StoreError::Missing { record: "recorded spend" })?;
    let spend = state.spend().ok_or(StoreError::Missing { record: "reservation" })?;
    let entry_index = spend.entry_index;
    let inclusion = inclusion(view, entry_index)?;
    Ok(Reservation { nullifier: *nullifier, entry_index, inclusion, checkpoint: signer.checkpoint(view) })
}

pub(crate) fn settlement(signer: &Signer<'_>, view: &dyn View, nullifier: &Nullifier) -> Result<SettleResponse, Abort> {
    let state = view.spend(nullifier)?.ok_or(StoreError::Missing { record: "recorded spend" })?;
    let outcome = *state.outcome().ok_or(StoreError::Missing { record: "outcome of a settled spend" })?;
    Ok(SettleResponse {
        nullifier: *nullifier,
        charge: outcome.charge,
        refund: outcome.refund,
        leaf: outcome.leaf,
        leaf_index: outcome.leaf_index,
        entry_index: outcome.entry_index,
        inclusion: inclusion(view, outcome.entry_index)?,
        checkpoint: signer.checkpoint(view),
    })
}

/// The answer about an operation that is one entry, of the kind that `pick` takes.
pub(crate) fn recorded<E>(
    signer: &Signer<'_>,
    view: &dyn View,
    entry_index: u64,
    pick: impl FnOnce(LogEntry) -> Option<E>,
) -> Result<Recorded<E>, Abort> {
    let entry = view.entries(entry_index, 1)?.pop().and_then(pick);
    let entry = entry.ok_or(StoreError::Missing { record: "entry of an operation" })?;
    let inclusion = inclusion(view, entry_index)?;
    Ok(Recorded { entry, entry_index, inclusion, checkpoint: signer.checkpoint(view) })
}

pub(crate) fn log(signer: &Signer<'_>, view: &dyn View, from: u64, limit: u32) -> Result<LogPage, Abort> {
    let left = view.heads().log_size.checked_sub(from).ok_or(LedgerError::NotFound)?;
    let entries = view.entries(from, left.min(u64::from(limit)))?;
    Ok(LogPage { entries, checkpoint: signer.checkpoint(view) })
}

pub(crate) fn checkpoint(
    signer: &Signer<'_>,
    view: &dyn View,
    from: u64,
    to: Option<u64>,
) -> Result<CheckpointAnswer, Abort> {
    let size = view.heads().log_size;
    let to = to.unwrap_or(size);
    if from > to || to > size {
        return Err(LedgerError::NotFound.into());
    }
    let consistency = with_nodes(|wanted| view.nodes(wanted), |node| consistency_proof(from, to, node))?;
    Ok(CheckpointAnswer { checkpoint: signer.checkpoint(view), consistency })
}

pub(crate) fn inclusion(view: &dyn View, entry_index: u64) -> Result<Vec<Bytes32>, StoreError> {
    let size = view.heads().log_size;
    with_nodes(|wanted| view.nodes(wanted), |node| inclusion_proof(entry_index, size, node))
}

/// Whether the log of the first heads, whose nodes are given, continues that of the second.
pub(crate) fn extends(
    new: &Heads,
    old: &Heads,
    nodes: impl FnOnce(&[(u8, u64)]) -> Result<Vec<Bytes32>, StoreError>,
) -> Result<bool, StoreError> {
    if new.log_size < old.log_size {
        return Ok(false);
    }
    let proof = with_nodes(nodes, |node| consistency_proof(old.log_size, new.log_size, node))?;
    Ok(verify_consistency(old.log_size, new.log_size, &proof, &old.log_root, &new.log_root).is_ok())
}

type Node<'a> = &'a mut dyn FnMut(u8, u64) -> Result<Bytes32, StoreError>;

/// Makes a proof over nodes that are read at once: which ones it needs does not depend on what they are, so it is made twice,
/// first over nothing.
fn with_nodes<T>(
    nodes: impl FnOnce(&[(u8, u64)]) -> Result<Vec<Bytes32>, StoreError>,
    prove: impl Fn(Node<'_>) -> Result<T, ProofError<StoreError>>,
) -> Result<T, StoreError> {
    let mut wanted = Vec::new();
    let noted = prove(&mut |level, index| {
        wanted.push((level, index));
        Ok(Bytes32::default())
    });
    noted.map_err(node_error)?;
    let mut nodes = nodes(&wanted)?.into_iter();
    let missing = || StoreError::Missing { record: "node of the log tree" };
    prove(&mut |_, _| nodes.next().ok_or_else(missing)).map_err(node_error)
}

fn node_error(error: ProofError<StoreError>) -> StoreError {
    match error {
        ProofError::Node(error) => error,
        _ => StoreError::Missing { record: "entry within the log" },
    }
}

#[cfg(test)]
mod tests {
    use credits::{Fe, LogFrontier, Root};

    use super::*;
    use crate::committed::Committed;
    use crate::identity::example;
    use crate::storage::Totals;

    /// One that is shared is the one that would have been signed: of this state, and of this second.
    #[test]
    fn a_checkpoint_is_of_its_own_state_and_second_however_often_it_is_asked_for() {
        let (identity, signed) = (example(), Signed::default());
        let heads: Vec<_> = (0..6_u8)
            .map(|number| Heads {
                log_size: u64::from(number % 3),
                log_root: Bytes32([number; 32]),
                note_count: 1,
                note_root: Root(Fe::from(u64::from(number / 2))),
            })
            .collect();
        for round in 0..3 {
            for now in [5, 6, 5] {
                for heads in &heads {
                    let view = Committed::after(&LogFrontier::new(), *heads, Totals::default());
                    let checkpoint = Signer { identity: &identity, signed: &signed, now }.checkpoint(&view);
                    assert_eq!(checkpoint, identity.sign_checkpoint(heads, now), "round {round}");
                    checkpoint.verify(&identity.info().ledger_key).unwrap();
                }
            }
        }
        assert_eq!(signed.0.lock().unwrap().len(), SIGNED_MAX);
    }
}
