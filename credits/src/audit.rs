//! Auditing a ledger: its whole log, replayed by somebody who owns nothing in it.
//!
//! What a wallet judges is judged here too, by the same code. Beyond that an auditor keeps what no wallet needs: every nullifier
//! and every successor ever used, every voucher, every root, and he verifies every proof. What the log cannot show he cannot
//! see: whether a voucher was the administrator's and worth as much, whether a deadline had passed or a root was recent, what the
//! ledger refused.

use std::collections::{BTreeMap, BTreeSet};

use rand_core::CryptoRngCore;
use serde::Serialize;

use crate::bytes::Bytes32;
use crate::entry::{
    ClaimEntry, LogEntry, MergeEntry, MintEntry, RatingEntry, ReserveEntry, SettledBy, SlashEntry, StakeEntry,
};
use crate::ledger::{LedgerInfo, LogPage, REDEEM_OUTPUTS_MAX};
use crate::merge::{MergePublic, merge_ctx};
use crate::note::{Inner, Nullifier, Root};
use crate::params::{MergeVerifyingParams, VerifyingParams};
use crate::rating::{RatingRequest, VerifiedRating};
use crate::spend::SpendPublic;
use crate::stake::StakeAct;
use crate::tree::NoteFrontier;
use crate::value::Credits;
use crate::wallet::{SyncProgress, Wallet, WalletError, WalletSeed};

/// What the log of a ledger says, summed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AuditTotals {
    /// Entries replayed.
    pub entries: u64,
    /// Notes made.
    pub notes: u64,
    /// Vouchers redeemed.
    pub vouchers: u64,
    /// Credits ever made.
    pub minted: Credits,
    /// Credits ever charged. They go round: this may be more than was minted, and stays at the largest number once it is there.
    pub charged: u64,
    /// Credits that payees turned into notes again, likewise.
    pub claimed: u64,
    /// Credits that were charged and not claimed yet.
    pub owed: Credits,
    /// The same by payee.
    pub payees: BTreeMap<Bytes32, PayeeTotals>,
    /// Credits in reservations that have not ended.
    pub reserved: Credits,
    /// Spends.
    pub spends: u64,
    /// Spends that have not ended.
    pub open: u64,
    /// Spends that were charged by their guardian.
    pub settled: u64,
    /// Spends that the ledger ended at their last total.
    pub settled_by_ledger: u64,
    /// Spends that were given back whole.
    pub voided: u64,
    /// Merges of two notes into one.
    pub merges: u64,
    /// Credits that payees have at stake.
    pub staked: Credits,
    /// Credits that were lost with stakes and are nobody's.
    pub burnt: Credits,
    /// Stakes that were lost.
    pub slashes: u64,
    /// Ratings of tabs.
    pub ratings: u64,
}

/// What the log of a ledger says about a payee, summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PayeeTotals {
    /// Credits ever charged for it.
    pub charged: u64,
    /// Credits that it claimed.
    pub claimed: u64,
    /// Credits that it has not claimed yet.
    pub owed: Credits,
    /// Its claims.
    pub claims: u64,
    /// What it has at stake.
    pub staked: Credits,
    /// How often it lost its stake.
    pub slashes: u64,
    /// Ratings of its nodes' tabs.
    pub ratings: u64,
    /// What was charged for the rated tabs.
    pub rated_charges: u64,
    /// Each score times what was charged for the tab: divided by the former, the average score.
    pub weighted_scores: u64,
}

impl PayeeTotals {
    /// The average score, each tab weighing what was charged for it, in hundredths.
    pub fn score_hundredths(&self) -> Option<u64> {
        let weighted = u128::from(self.weighted_scores).checked_mul(100)?;
        u64::try_from(weighted.checked_div(u128::from(self.rated_charges))?).ok()
    }
}

/// What is wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuditFault {
    /// What every wallet refuses, too.
    #[error(transparent)]
    Replay(#[from] WalletError),
    /// A nullifier was reserved or merged before, perhaps long ago: a note was spent twice.
    #[error("entry {index}: the note was spent before")]
    SpentTwice {
        /// Position of the entry.
        index: u64,
    },
    /// Two spends or merges have one successor.
    #[error("entry {index}: the successor was used before")]
    SuccessorTwice {
        /// Position of the entry.
        index: u64,
    },
    /// A voucher was redeemed in two places, or for more notes than one redemption makes.
    #[error("entry {index}: the voucher was redeemed before, or for too many notes")]
    VoucherTwice {
        /// Position of the entry.
        index: u64,
    },
    /// The root of a spend or a merge was never a root of the note tree.
    #[error("entry {index}: the root never was the note tree's")]
    Root {
        /// Position of the entry.
        index: u64,
    },
    /// The proof of a spend or a merge does not verify.
    #[error("entry {index}: the proof does not verify")]
    Proof {
        /// Position of the entry.
        index: u64,
    },
    /// A stake is of more than its payee was owed, or what was lost is not what was at stake.
    #[error("entry {index}: the stake is not of what the payee is owed")]
    Stake {
        /// Position of the entry.
        index: u64,
    },
    /// A rating is not signed by the key of a tab that was charged, or is its second.
    #[error("entry {index}: the rating is not that of a tab that was charged")]
    Rating {
        /// Position of the entry.
        index: u64,
    },
    /// A payee claimed more than it was owed, or out of order.
    #[error("entry {index}: the claim is not of what the payee is owed")]
    Claim {
        /// Position of the entry.
        index: u64,
    },
    /// More is owed and reserved than was ever minted, or a sum is no amount.
    #[error("entry {index}: more is owed and reserved than was minted")]
    Sum {
        /// Position of the entry.
        index: u64,
    },
}

impl AuditFault {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Replay(error) => error.code(),
            Self::SpentTwice { .. } => "audit.spent_twice",
            Self::SuccessorTwice { .. } => "audit.successor_twice",
            Self::VoucherTwice { .. } => "audit.voucher_twice",
            Self::Root { .. } => "audit.root",
            Self::Proof { .. } => "audit.proof",
            Self::Claim { .. } => "audit.claim",
            Self::Stake { .. } => "audit.stake",
            Self::Rating { .. } => "audit.rating",
            Self::Sum { .. } => "audit.sum",
        }
    }
}

/// A spend, as far as an audit needs it.
#[derive(Clone, Copy)]
struct Spent {
    c_max: Credits,
    payee: Bytes32,
    tab_key: Bytes32,
    /// Whether a guardian serves it: withdrawals name none.
    is_tab: bool,
    /// What was charged and not rated yet.
    rateable: Credits,
}

/// An audit under way. After a fault it is over.
pub struct LogAudit {
    /// A wallet that owns nothing: it judges what wallets judge.
    replay: Wallet,
    verifying: VerifyingParams,
    merging: Option<MergeVerifyingParams>,
    ledger_id: Bytes32,
    notes: NoteFrontier,
    /// Every root that the tree had.
    roots: BTreeSet<Root>,
    /// What was spent; nothing is known of what was merged.
    spent: BTreeMap<Nullifier, Option<Spent>>,
    successors: BTreeSet<Inner>,
    vouchers: BTreeSet<Bytes32>,
    /// The voucher whose mints are being read, and how many there were.
    voucher: Option<(Bytes32, usize)>,
    totals: AuditTotals,
}

impl LogAudit {
    /// An audit of the ledger with this description and verifying key, from its first entry on. The seed is drawn for this audit
    /// and forgotten: somebody who knew it could make notes on it, spend them as no wallet does, and have good logs fail.
    /// `merging` is the verifying key of its merges, and counts only if it is the described one; a merge that is logged where there
    /// is none does not verify.
    pub fn new(
        info: &LedgerInfo,
        verifying: VerifyingParams,
        merging: Option<MergeVerifyingParams>,
        drawn: WalletSeed,
    ) -> Self {
        let notes = NoteFrontier::new();
        Self {
            replay: Wallet::new(drawn, info),
            verifying,
            merging: merging.filter(|merging| Some(merging.digest()) == info.merge_vk_digest()),
            ledger_id: info.ledger_id,
            roots: BTreeSet::from([notes.root()]),
            notes,
            spent: BTreeMap::new(),
            successors: BTreeSet::new(),
            vouchers: BTreeSet::new(),
            voucher: None,
            totals: AuditTotals::default(),
        }
    }

    /// Position of the next entry to ask for.
    pub const fn next_entry(&self) -> u64 {
        self.replay.next_entry()
    }

    /// The sums so far.
    pub const fn totals(&self) -> &AuditTotals {
        &self.totals
    }

    /// Judges the entries that follow [`LogAudit::next_entry`]. `rng` must be the operating system's.
    pub fn apply_page(&mut self, page: &LogPage, rng: &mut dyn CryptoRngCore) -> Result<SyncProgress, AuditFault> {
        let first = self.next_entry();
        let progress = self.replay.apply_page(page)?;
        let mut proofs = Vec::new();
        for (index, entry) in (first..).zip(&page.entries) {
            match entry {
                LogEntry::Mint(mint) => self.mint(index, mint)?,
                LogEntry::Reserve(reserve) => {
                    self.reserve(index, reserve)?;
                    let ReserveEntry { root, nullifier, inner_next, c_max, ref context, proof } = *reserve;
                    let ctx = context.digest(c_max);
                    proofs.push((index, (SpendPublic { root, nullifier, inner_next, c_max, ctx }, proof)));
                }
                LogEntry::Journal(_) => self.voucher = None,
                LogEntry::Settle(settle) => {
                    match settle.by {
                        SettledBy::Guardian => self.totals.settled += 1,
                        SettledBy::Ledger => self.totals.settled_by_ledger += 1,
                    }
                    self.end(index, &settle.nullifier, settle.charge)?;
                }
                LogEntry::Void(void) => {
                    self.totals.voided += 1;
                    self.end(index, &void.nullifier, Credits::ZERO)?;
                }
                LogEntry::Claim(claim) => self.claim(index, claim)?,
                LogEntry::Merge(merge) => self.merge(index, merge)?,
                LogEntry::Stake(stake) => self.stake(index, stake)?,
                LogEntry::Slash(slash) => self.slash(index, slash)?,
                LogEntry::Rating(rating) => self.rating(index, rating)?,
            }
            self.totals.entries += 1;
            if let Some((_, leaf)) = entry.appended_note() {
                // The replay above has appended as many.
                let _fits = self.notes.append(leaf);
                self.totals.notes += 1;
                self.roots.insert(self.notes.root());
            }
            // What is in notes is hidden; it is never less than nothing.
            let AuditTotals { owed, reserved, staked, burnt, .. } = self.totals;
            let used = Credits::checked_sum([owed, reserved, staked, burnt]).ok_or(AuditFault::Sum { index })?;
            if used > self.totals.minted {
                return Err(AuditFault::Sum { index });
            }
        }
        let spends: Vec<_> = proofs.iter().map(|(_, spend)| *spend).collect();
        let verdicts = self.verifying.verify_batch(&spends, rng);
        match proofs.iter().zip(verdicts).find(|(_, verdict)| verdict.is_err()) {
            Some(((index, _), _)) => Err(AuditFault::Proof { index: *index }),
            None => Ok(progress),
        }
    }

    fn mint(&mut self, index: u64, mint: &MintEntry) -> Result<(), AuditFault> {
        // The notes of a voucher follow each other.
        let notes = match self.voucher {
            Some((voucher, notes)) if voucher == mint.voucher_id => notes + 1,
            _ => {
                if !self.vouchers.insert(mint.voucher_id) {
                    return Err(AuditFault::VoucherTwice { index });
                }
                self.totals.vouchers += 1;
                1
            }
        };
        if notes > REDEEM_OUTPUTS_MAX {
            return Err(AuditFault::VoucherTwice { index });
        }
        self.voucher = Some((mint.voucher_id, notes));
        self.totals.minted = sum(index, self.totals.minted, mint.value)?;
        Ok(())
    }

    fn reserve(&mut self, index: u64, reserve: &ReserveEntry) -> Result<(), AuditFault> {
        self.voucher = None;
        let ReserveEntry { c_max, ref context, .. } = *reserve;
        let (payee, tab_key, is_tab) = (context.payee, context.tab_key, !context.names_no_guardian());
        let spent = Spent { c_max, payee, tab_key, is_tab, rateable: Credits::ZERO };
        if self.spent.insert(reserve.nullifier, Some(spent)).is_some() {
            return Err(AuditFault::SpentTwice { index });
        }
        if !self.successors.insert(reserve.inner_next) {
            return Err(AuditFault::SuccessorTwice { index });
        }
        if !self.roots.contains(&reserve.root) {
            return Err(AuditFault::Root { index });
        }
        self.totals.spends += 1;
        self.totals.open += 1;
        self.totals.reserved = sum(index, self.totals.reserved, reserve.c_max)?;
        Ok(())
    }

    fn merge(&mut self, index: u64, merge: &MergeEntry) -> Result<(), AuditFault> {
        self.voucher = None;
        for nullifier in merge.nullifiers {
            if self.spent.insert(nullifier, None).is_some() {
                return Err(AuditFault::SpentTwice { index });
            }
        }
        if !self.successors.insert(merge.inner_next) {
            return Err(AuditFault::SuccessorTwice { index });
        }
        if !self.roots.contains(&merge.root) {
            return Err(AuditFault::Root { index });
        }
        let fault = AuditFault::Proof { index };
        let merging = self.merging.as_ref().ok_or(fault.clone())?;
        let MergeEntry { root, nullifiers, inner_next, proof, .. } = *merge;
        let ctx = merge_ctx(&self.ledger_id, &merging.digest());
        merging.verify(&MergePublic { root, nullifiers, inner_next, ctx }, &proof).map_err(|_| fault)?;
        self.totals.merges += 1;
        Ok(())
    }

    fn end(&mut self, index: u64, nullifier: &Nullifier, charge: Credits) -> Result<(), AuditFault> {
        self.voucher = None;
        // The replay refuses an end without a reservation, and a second one.
        let spent = self.spent.get_mut(nullifier).and_then(Option::as_mut).ok_or(AuditFault::Sum { index })?;
        let Spent { c_max, payee, is_tab, .. } = *spent;
        if is_tab {
            spent.rateable = charge;
        }
        self.totals.open = self.totals.open.saturating_sub(1);
        let reserved = self.totals.reserved.checked_sub(c_max);
        self.totals.reserved = reserved.ok_or(AuditFault::Sum { index })?;
        self.totals.charged = self.totals.charged.saturating_add(charge.get());
        self.totals.owed = sum(index, self.totals.owed, charge)?;
        let paid = self.totals.payees.entry(payee).or_default();
        paid.charged = paid.charged.saturating_add(charge.get());
        paid.owed = sum(index, paid.owed, charge)?;
        Ok(())
    }

    fn claim(&mut self, index: u64, claim: &ClaimEntry) -> Result<(), AuditFault> {
        self.voucher = None;
        let fault = AuditFault::Claim { index };
        let paid = self.totals.payees.entry(claim.payee).or_default();
        if claim.claim_seq != paid.claims || claim.value.is_zero() {
            return Err(fault);
        }
        paid.claims = paid.claims.saturating_add(1);
        paid.claimed = paid.claimed.saturating_add(claim.value.get());
        paid.owed = paid.owed.checked_sub(claim.value).ok_or(fault.clone())?;
        self.totals.claimed = self.totals.claimed.saturating_add(claim.value.get());
        self.totals.owed = self.totals.owed.checked_sub(claim.value).ok_or(fault)?;
        Ok(())
    }
}

impl LogAudit {
    /// The replay has judged signature, order and times.
    fn stake(&mut self, index: u64, stake: &StakeEntry) -> Result<(), AuditFault> {
        self.voucher = None;
        let fault = AuditFault::Stake { index };
        let paid = self.totals.payees.entry(stake.payee).or_default();
        match stake.act {
            StakeAct::Put { amount } => {
                paid.owed = paid.owed.checked_sub(amount).ok_or(fault.clone())?;
                self.totals.owed = self.totals.owed.checked_sub(amount).ok_or(fault)?;
                paid.staked = sum(index, paid.staked, amount)?;
                self.totals.staked = sum(index, self.totals.staked, amount)?;
            }
            StakeAct::Back { .. } => {}
            StakeAct::Take {} => {
                let amount = std::mem::take(&mut paid.staked);
                paid.owed = sum(index, paid.owed, amount)?;
                self.totals.owed = sum(index, self.totals.owed, amount)?;
                self.totals.staked = self.totals.staked.checked_sub(amount).ok_or(fault)?;
            }
        }
        Ok(())
    }

    /// The replay has judged the evidence, and what was at stake.
    fn slash(&mut self, index: u64, slash: &SlashEntry) -> Result<(), AuditFault> {
        self.voucher = None;
        let fault = AuditFault::Stake { index };
        let lost = self.totals.payees.entry(slash.payee).or_default();
        lost.slashes = lost.slashes.saturating_add(1);
        lost.staked = lost.staked.checked_sub(slash.amount).ok_or(fault.clone())?;
        let reporter = self.totals.payees.entry(slash.reporter).or_default();
        reporter.owed = sum(index, reporter.owed, slash.reward)?;
        self.totals.slashes = self.totals.slashes.saturating_add(1);
        self.totals.staked = self.totals.staked.checked_sub(slash.amount).ok_or(fault.clone())?;
        self.totals.owed = sum(index, self.totals.owed, slash.reward)?;
        self.totals.burnt = sum(index, self.totals.burnt, slash.burnt().ok_or(fault)?)?;
        Ok(())
    }

    fn rating(&mut self, index: u64, rating: &RatingEntry) -> Result<(), AuditFault> {
        self.voucher = None;
        let fault = AuditFault::Rating { index };
        let RatingEntry { nullifier, score, signature } = *rating;
        let spent = self.spent.get_mut(&nullifier).and_then(Option::as_mut).ok_or(fault.clone())?;
        let request = RatingRequest { nullifier, score, signature };
        let verified = VerifiedRating::verify(request, &self.ledger_id, spent.tab_key);
        let charge = std::mem::take(&mut spent.rateable);
        if verified.is_err() || charge.is_zero() {
            return Err(fault);
        }
        let paid = self.totals.payees.entry(spent.payee).or_default();
        paid.ratings = paid.ratings.saturating_add(1);
        paid.rated_charges = paid.rated_charges.saturating_add(charge.get());
        let weighted = charge.get().saturating_mul(score.into());
        paid.weighted_scores = paid.weighted_scores.saturating_add(weighted);
        self.totals.ratings = self.totals.ratings.saturating_add(1);
        Ok(())
    }
}

fn sum(index: u64, sum: Credits, more: Credits) -> Result<Credits, AuditFault> {
    sum.checked_add(more).ok_or(AuditFault::Sum { index })
}
