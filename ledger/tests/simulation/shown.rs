//! The log that a ledger which is wrong on purpose shows.

use credits::fault::reward;
use credits::merkle::LogTree;
use credits::note::leaf;
use credits::{
    Bond, Checkpoint, ClaimEntry, ClaimRequest, Credits, LedgerInfo, LogEntry, MergeEntry, NoteFrontier, Nullifier,
    RatingEntry, RatingRequest, SettleEntry, SlashEntry, SlashRequest, StakeEntry, StakeRequest, UnsignedCheckpoint,
};

use super::books::LedgerFlaw;
use crate::support::{identity, ledger_key};

/// The log that a flawed ledger shows.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) read: u64,
    pub(super) entries: Vec<LogEntry>,
    log: LogTree,
    notes: NoteFrontier,
}

impl Shown {
    pub(super) fn take(&mut self, entry: LogEntry, flaw: Option<LedgerFlaw>) {
        match (flaw, entry) {
            (Some(LedgerFlaw::RefundsOneMore), LogEntry::Settle(mut settle)) => {
                let nullifier = settle.nullifier;
                let reserved = self.entries.iter().find_map(|entry| match entry {
                    LogEntry::Reserve(reserve) if reserve.nullifier == nullifier => Some(reserve.inner_next),
                    _ => None,
                });
                settle.refund = Credits::new(settle.refund.get() + 1).unwrap();
                settle.leaf = leaf(reserved.unwrap(), settle.refund);
                self.append(LogEntry::Settle(settle));
            }
            (Some(LedgerFlaw::SettlesTwice), LogEntry::Settle(settle)) => {
                let again = SettleEntry { leaf_index: settle.leaf_index + 1, ..settle.clone() };
                self.append(LogEntry::Settle(settle));
                self.append(LogEntry::Settle(again));
            }
            (Some(LedgerFlaw::ChargesUnsigned), LogEntry::Settle(settle)) if !settle.refund.is_zero() => {
                let charge = Credits::new(settle.charge.get() + 1).unwrap();
                self.append(LogEntry::Settle(SettleEntry { charge, ..settle }));
            }
            (Some(LedgerFlaw::MintsTwice), LogEntry::Mint(mint)) => {
                for half in 0..2 {
                    let mut mint = mint.clone();
                    mint.mint_seq = 2 * mint.mint_seq + half;
                    mint.rho = credits::note::mint_rho(identity().info().ledger_id, mint.mint_seq);
                    mint.leaf_index = self.notes.len();
                    let inner = credits::note::inner(mint.pk, mint.value, mint.rho, credits::Blind(mint.b));
                    mint.leaf = leaf(inner, Credits::ZERO);
                    self.append(LogEntry::Mint(mint));
                }
            }
            (Some(LedgerFlaw::MergesTwice), LogEntry::Merge(merge)) => {
                let again = MergeEntry { leaf_index: merge.leaf_index + 1, ..merge.clone() };
                self.append(LogEntry::Merge(merge));
                self.append(LogEntry::Merge(again));
            }
            (_, entry) => self.append(entry),
        }
    }

    /// Makes a claim, whatever is to be said against it.
    pub(super) fn append_claim(&mut self, request: &ClaimRequest) {
        let opens_note = |entry: &&LogEntry| matches!(entry, LogEntry::Mint(_) | LogEntry::Claim(_));
        let mint_seq = u64::try_from(self.entries.iter().filter(opens_note).count()).unwrap();
        let rho = credits::note::mint_rho(identity().info().ledger_id, mint_seq);
        let ClaimRequest { payee, claim_seq, output, signature } = request.clone();
        let credits::MintOutput { pk, value, b } = output;
        let leaf = leaf(credits::note::inner(pk, value, rho, credits::Blind(b)), Credits::ZERO);
        let leaf_index = self.notes.len();
        self.append(LogEntry::Claim(ClaimEntry {
            payee,
            claim_seq,
            mint_seq,
            value,
            pk,
            rho,
            b,
            leaf_index,
            leaf,
            signature,
        }));
    }

    /// Carries out an act on a stake, whatever is to be said against it.
    pub(super) fn append_stake(&mut self, request: &StakeRequest, at: u64) {
        let StakeRequest { payee, seq, act, signature } = *request;
        self.append(LogEntry::Stake(StakeEntry { payee, seq, act, at, signature }));
    }

    /// Takes a stake, whatever was shown.
    pub(super) fn append_slash(&mut self, request: &SlashRequest, bond: &Bond, at: u64) {
        let SlashRequest { payee, settle_key, evidence, reporter } = request.clone();
        let (amount, reward) = (bond.amount, reward(bond.amount));
        self.append(LogEntry::Slash(SlashEntry { payee, settle_key, evidence, reporter, at, amount, reward }));
    }

    /// Records a rating, whatever is to be said against it.
    pub(super) fn append_rating(&mut self, request: &RatingRequest) {
        let RatingRequest { nullifier, score, signature } = *request;
        self.append(LogEntry::Rating(RatingEntry { nullifier, score, signature }));
    }

    pub(super) fn has_merged(&self, nullifier: &Nullifier) -> bool {
        self.entries.iter().any(|entry| matches!(entry, LogEntry::Merge(merge) if merge.nullifiers.contains(nullifier)))
    }

    pub(super) fn append(&mut self, entry: LogEntry) {
        self.log.append(entry.leaf_hash());
        if let Some((_, leaf)) = entry.appended_note() {
            self.notes.append(leaf).unwrap();
        }
        self.entries.push(entry);
    }

    pub(super) fn forget_last(&mut self) {
        let mut kept = std::mem::take(&mut self.entries);
        kept.pop();
        (self.log, self.notes) = (LogTree::new(), NoteFrontier::new());
        kept.into_iter().for_each(|entry| self.append(entry));
    }

    pub(super) fn checkpoint(&self, info: &LedgerInfo, time: u64) -> Checkpoint {
        let unsigned = UnsignedCheckpoint {
            ledger_id: info.ledger_id,
            log_size: self.log.size(),
            log_root: self.log.root(),
            note_count: self.notes.len(),
            note_root: self.notes.root(),
            time,
        };
        Checkpoint::sign(unsigned, &ledger_key())
    }
}
