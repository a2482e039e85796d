//! What the ledger's log makes true, worked out by somebody who knows every secret: which notes there are and whose, what is
//! reserved, what was charged. The rules of `docs/protocol.md` §3 and §4 are written here a second time.

use std::collections::{BTreeMap, BTreeSet};

use credits::claim::verify_claim;
use credits::hash::sha256;
use credits::merge::merge_ctx;
use credits::note::{inner, leaf, mint_rho};
use credits::{
    Blind, Bytes32, Checkpoint, ClaimEntry, Credits, Inner, Leaf, LedgerInfo, LogEntry, LogFrontier, LogPage,
    MergeEntry, MergePublic, MintEntry, MintOutput, NoteTree, Nullifier, ReserveEntry, Root, SettledBy, SpendPublic,
    journal_message, settle_message, verify_ed25519,
};

use super::bonds::Bonded;
use super::device::fresh;
use super::invariant::{Invariant, Violation};
use super::op::OWNERS;
use super::secrets::Secrets;
use crate::support::GRACE_SECS;

/// What an owner has by some entry of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Worth {
    /// In notes, and behind reservations.
    pub(crate) total: u64,
    /// The most that open reservations can still charge.
    pub(crate) reserved: u64,
}

/// A reservation.
#[derive(Clone, Debug)]
pub(crate) struct Spend {
    pub(crate) owner: usize,
    pub(crate) c_max: u64,
    pub(crate) context: credits::SpendContext,
    inner_next: Inner,
    value_next: u64,
    pub(crate) journalled: Option<u64>,
    /// The charge and who made it, once it has ended.
    pub(crate) ended: Option<(u64, Option<SettledBy>)>,
}

/// A payee.
#[derive(Clone, Debug, Default)]
pub(crate) struct Payee {
    pub(crate) charged: u64,
    pub(crate) claimed: u64,
    pub(crate) bond: Bonded,
    /// Its claims, by number: the note, and whose it is.
    pub(crate) claims: Vec<(MintOutput, usize)>,
}

impl Payee {
    pub(crate) const fn owed(&self) -> u64 {
        self.charged + self.bond.rewarded - self.claimed - self.bond.staked - self.bond.lost
    }
}

pub(crate) struct Oracle {
    pub(super) info: LedgerInfo,
    secrets: Secrets,
    log: LogFrontier,
    tree: NoteTree,
    /// The tree's root, once it is asked for, by number of notes.
    note_root: (u64, Root),
    entries: Vec<LogEntry>,
    notes: BTreeMap<Leaf, (usize, u64)>,
    pub(crate) spends: BTreeMap<Nullifier, Spend>,
    merged: BTreeSet<Nullifier>,
    successors: BTreeSet<Inner>,
    /// Worth of the vouchers that were issued, and what was minted for each.
    vouchers: BTreeMap<Bytes32, (usize, u64, u64)>,
    mints: u64,
    pub(crate) minted: u64,
    pub(crate) charged: u64,
    pub(crate) claimed: u64,
    pub(crate) payees: BTreeMap<Bytes32, Payee>,
    /// Scores of tabs.
    pub(super) rated: BTreeMap<Nullifier, u8>,
    /// Keys of spends, each of which must be the only one of its kind.
    keys: BTreeSet<Bytes32>,
    /// By number of entries: the log's root, and what every owner has.
    history: Vec<(Bytes32, Vec<Worth>)>,
}

impl Oracle {
    pub(crate) fn new(info: &LedgerInfo, secrets: Secrets) -> Self {
        let owners = OWNERS.iter().max().map_or(0, |owner| owner + 1);
        let log = LogFrontier::new();
        Self {
            info: info.clone(),
            secrets,
            history: vec![(log.root(), vec![Worth::default(); owners])],
            log,
            note_root: (0, NoteTree::new().root()),
            tree: NoteTree::new(),
            entries: Vec::new(),
            notes: BTreeMap::new(),
            spends: BTreeMap::new(),
            merged: BTreeSet::new(),
            successors: BTreeSet::new(),
            vouchers: BTreeMap::new(),
            mints: 0,
            minted: 0,
            charged: 0,
            claimed: 0,
            payees: BTreeMap::new(),
            rated: BTreeMap::new(),
            keys: BTreeSet::new(),
        }
    }

    /// The administrator issued a voucher to an owner.
    pub(crate) fn issued(&mut self, voucher: Bytes32, owner: usize, value: u64) {
        self.vouchers.insert(voucher, (owner, value, 0));
    }

    /// What was issued to an owner.
    pub(crate) fn deposits(&self, owner: usize) -> u64 {
        self.vouchers.values().filter(|(to, ..)| *to == owner).map(|(_, value, _)| value).sum()
    }

    /// What an owner's spends were charged.
    pub(crate) fn charges(&self, owner: usize) -> u64 {
        let spends = self.spends.values().filter(|spend| spend.owner == owner);
        spends.filter_map(|spend| spend.ended).map(|(charge, _)| charge).sum()
    }

    /// What was claimed into an owner's notes.
    pub(crate) fn claims(&self, owner: usize) -> u64 {
        let claims = self.payees.values().flat_map(|payee| &payee.claims);
        claims.filter(|(_, to)| *to == owner).map(|(output, _)| output.value.get()).sum()
    }

    /// An owner's withdrawals that were charged: what they are worth, by payee.
    pub(crate) fn withdrawals(&self, owner: usize) -> BTreeMap<Bytes32, u64> {
        let own = self.spends.values().filter(|spend| spend.owner == owner && is_withdrawal(&spend.context));
        own.filter_map(|spend| Some((spend.context.payee, spend.ended?.0)).filter(|(_, charge)| *charge > 0)).collect()
    }

    /// How often a note was opened in the clear on a key of this owner that an earlier one had: everybody sees that both are one
    /// wallet's.
    pub(crate) fn reused_note_keys(&self, owner: usize) -> usize {
        let keys = self.entries.iter().filter_map(|entry| match entry {
            LogEntry::Mint(mint) => Some(mint.pk),
            LogEntry::Claim(claim) => Some(claim.pk),
            LogEntry::Reserve(_)
            | LogEntry::Journal(_)
            | LogEntry::Settle(_)
            | LogEntry::Void(_)
            | LogEntry::Merge(_)
            | LogEntry::Stake(_)
            | LogEntry::Slash(_)
            | LogEntry::Rating(_) => None,
        });
        let keys: Vec<_> = keys.filter(|pk| self.secrets.owner_of(*pk) == Some(owner)).collect();
        keys.len() - keys.iter().collect::<BTreeSet<_>>().len()
    }

    pub(crate) fn log_size(&self) -> u64 {
        self.log.size()
    }

    /// What an owner had after so many entries.
    pub(crate) fn worth(&self, owner: usize, size: u64) -> Option<Worth> {
        let (_, owners) = self.history.get(usize::try_from(size).ok()?)?;
        owners.get(owner).copied()
    }

    pub(crate) fn root(&self, size: u64) -> Option<Bytes32> {
        self.history.get(usize::try_from(size).ok()?).map(|(root, _)| *root)
    }

    /// Reads the entries that follow those read, as the ledger shows them now; they were made between two times of its clock.
    pub(crate) fn read(&mut self, page: &LogPage, (from, to): (u64, u64)) -> Result<(), Violation> {
        for entry in &page.entries {
            let index = self.log.size();
            self.entry(entry, (from, to))
                .map_err(|violation| Violation { what: format!("entry {index}: {}", violation.what), ..violation })?;
            self.log.append(entry.leaf_hash());
            self.entries.push(entry.clone());
            self.history.push((self.log.root(), self.worths()));
            self.check_sums()?;
        }
        let checkpoint = &page.checkpoint;
        let heads = (checkpoint.log_size, checkpoint.log_root, checkpoint.note_count, checkpoint.note_root);
        if self.note_root.0 != self.tree.len() {
            self.note_root = (self.tree.len(), self.tree.root());
        }
        let ours = (self.log.size(), self.log.root(), self.note_root.0, self.note_root.1);
        let root = self.root(checkpoint.log_size);
        Invariant::LogOnlyGrows
            .require(checkpoint.log_size >= ours.0, || format!("{} entries after {}", heads.0, ours.0))?;
        Invariant::LogReplays.require(heads == ours && root == Some(heads.1), || format!("{heads:?} is not {ours:?}"))
    }

    /// Somebody who owns nothing judges the whole log, as every wallet and every auditor does.
    pub(crate) fn judge(&self, checkpoint: &Checkpoint) -> Result<(), Violation> {
        let mut bystander = fresh(sha256(b"bystander").0, &self.info);
        let page = LogPage { entries: self.entries.clone(), checkpoint: checkpoint.clone() };
        let judged = bystander.apply_page(&page);
        let agrees = judged.as_ref().is_ok_and(|progress| progress.remaining == 0);
        Invariant::LogReplays.require(agrees, || format!("a bystander says {judged:?}"))
    }

    fn entry(&mut self, entry: &LogEntry, (from, to): (u64, u64)) -> Result<(), Violation> {
        if let Some((index, leaf)) = entry.appended_note() {
            let appended = self.tree.append(leaf);
            Invariant::SuccessorExact.require(appended == Ok(index), || format!("leaf {index} is {appended:?}"))?;
        }
        match entry {
            LogEntry::Mint(mint) => self.mint(mint),
            LogEntry::Reserve(reserve) => self.reserve(reserve, from),
            LogEntry::Journal(journal) => {
                let (nullifier, total) = (journal.nullifier, journal.total);
                let spend = self.open_spend(&nullifier)?;
                let message = journal_message(&spend.context.ledger_id, &nullifier, total);
                let signed = verify_ed25519(&spend.context.settle_key, &message, &journal.signature).is_ok();
                let fits = total.get() <= spend.c_max && spend.journalled.is_none_or(|last| total.get() >= last);
                spend.journalled = Some(total.get());
                Invariant::ChargesSigned.require(signed && fits, || format!("{nullifier} is journalled at {total}"))
            }
            LogEntry::Settle(end) => {
                let spend = self.open_spend(&end.nullifier)?;
                let (not_after, key) = (spend.context.not_after, spend.context.settle_key);
                let over = not_after.saturating_add(GRACE_SECS);
                let message = settle_message(&spend.context.ledger_id, &end.nullifier, end.charge);
                let last = spend.journalled;
                let signed = match (end.by, &end.signature) {
                    (SettledBy::Guardian, Some(signature)) => {
                        verify_ed25519(&key, &message, signature).is_ok() && last.is_none_or(|l| end.charge.get() >= l)
                    }
                    (SettledBy::Ledger, None) => last == Some(end.charge.get()),
                    _ => false,
                };
                Invariant::ChargesSigned.require(signed, || format!("{} is charged {}", end.nullifier, end.charge))?;
                let in_time = if end.by == SettledBy::Ledger { to > over } else { from <= over };
                Invariant::InTime.require(in_time, || format!("{:?} settles at {from} to {to}, not {over}", end.by))?;
                self.end(&end.nullifier, end.charge, end.refund, end.leaf, Some(end.by))
            }
            LogEntry::Void(end) => {
                let spend = self.open_spend(&end.nullifier)?;
                let over = spend.context.not_after.saturating_add(GRACE_SECS);
                let unsigned = spend.journalled.is_none();
                Invariant::ChargesSigned.require(unsigned, || format!("{} is void", end.nullifier))?;
                Invariant::InTime.require(to > over, || format!("void at {to}, not after {over}"))?;
                self.end(&end.nullifier, Credits::ZERO, end.refund, end.leaf, None)
            }
            LogEntry::Merge(merge) => self.merge(merge),
            LogEntry::Claim(claim) => self.claim(claim),
            LogEntry::Stake(entry) => self.stake(entry, (from, to)),
            LogEntry::Slash(entry) => self.slash(entry, (from, to)),
            LogEntry::Rating(entry) => self.rating(entry),
        }
    }

    fn mint(&mut self, mint: &MintEntry) -> Result<(), Violation> {
        let broken = |what: &str| Err(Invariant::Conservation.violated(format!("mint {}: {what}", mint.mint_seq)));
        if mint.mint_seq != self.mints || mint.rho != mint_rho(self.info.ledger_id, mint.mint_seq) {
            return broken("its number or rho was there before");
        }
        if mint.leaf != leaf(inner(mint.pk, mint.value, mint.rho, Blind(mint.b)), Credits::ZERO) {
            return broken("its leaf is another note's");
        }
        let Some(owner) = self.secrets.owner_of(mint.pk) else { return broken("nobody asked for it") };
        let Some((_, value, minted)) = self.vouchers.get_mut(&mint.voucher_id) else { return broken("no voucher") };
        *minted += mint.value.get();
        if minted > value {
            return broken("its voucher was worth less");
        }
        self.mints += 1;
        self.minted += mint.value.get();
        self.add_note(mint.leaf, owner, mint.value.get())
    }

    fn claim(&mut self, claim: &ClaimEntry) -> Result<(), Violation> {
        let (request, payee) = (claim.request(), claim.payee);
        let signed = verify_claim(&self.info.ledger_id, &request).is_ok();
        Invariant::ClaimsSigned.require(signed, || format!("a claim for {payee} is not signed by it"))?;
        let account = self.payees.entry(payee).or_default();
        let (made, owed, value) = (account.claims.len(), account.owed(), claim.value.get());
        Invariant::ClaimsCountedOnce.require(usize::try_from(claim.claim_seq) == Ok(made), || {
            format!("{} after {made} claims", claim.claim_seq)
        })?;
        Invariant::ClaimsCovered
            .require((1..=owed).contains(&value), || format!("{value} is claimed of {owed} by {payee}"))?;
        let expected = leaf(inner(claim.pk, claim.value, claim.rho, Blind(claim.b)), Credits::ZERO);
        let opens = (claim.mint_seq, claim.rho) == (self.mints, mint_rho(self.info.ledger_id, self.mints));
        let owner = self.secrets.owner_of(claim.pk).filter(|_| opens && claim.leaf == expected);
        let Some(owner) = owner else {
            return Err(Invariant::Conservation
                .violated(format!("claim {made} of {payee} opens a note that was there, or nobody's")));
        };
        account.claims.push((request.output, owner));
        account.claimed += value;
        self.claimed += value;
        self.mints += 1;
        self.add_note(claim.leaf, owner, value)
    }

    /// A withdrawal's payee and settle key are one, of its own; no two spends have one tab key.
    fn unlinked(&mut self, context: &credits::SpendContext) -> Result<(), Violation> {
        let names_nobody = context.keyset_digest == Bytes32::default();
        let is_shaped = names_nobody == is_withdrawal(context)
            && (!names_nobody || context.price_sheet_digest == Bytes32::default());
        let is_new = self.keys.insert(context.tab_key) && (!names_nobody || self.keys.insert(context.payee));
        Invariant::WithdrawalsUnlinked.require(is_shaped && is_new, || format!("{context:?} has keys of another spend"))
    }

    fn reserve(&mut self, entry: &ReserveEntry, from: u64) -> Result<(), Violation> {
        let ReserveEntry { root, nullifier, inner_next, c_max, context, proof } = entry.clone();
        let is_first = !self.is_used(&nullifier) && self.successors.insert(inner_next);
        Invariant::OneReservation.require(is_first, || format!("{nullifier} or its successor was reserved before"))?;
        let public = SpendPublic { root, nullifier, inner_next, c_max, ctx: context.digest(c_max) };
        let opened = self.secrets.open(&public, &proof);
        let opened = opened.ok_or_else(|| Invariant::SpendsProved.violated(format!("{nullifier}: no proof of it")))?;
        let note = self.notes.remove(&opened.leaf);
        let value_next = opened.value_next.get();
        let is_worth = note == Some((opened.owner, value_next + c_max.get()));
        Invariant::SpendsProved.require(is_worth, || format!("{nullifier} spends {note:?}"))?;
        Invariant::InTime.require(context.not_after > from, || format!("{nullifier} is reserved at {from}"))?;
        self.unlinked(&context)?;
        let (owner, c_max) = (opened.owner, c_max.get());
        let spend = Spend { owner, c_max, context, inner_next, value_next, journalled: None, ended: None };
        self.spends.insert(nullifier, spend);
        Ok(())
    }

    fn is_used(&self, nullifier: &Nullifier) -> bool {
        self.spends.contains_key(nullifier) || self.merged.contains(nullifier)
    }

    fn merge(&mut self, entry: &MergeEntry) -> Result<(), Violation> {
        let MergeEntry { root, nullifiers, inner_next, leaf: successor, proof, .. } = entry.clone();
        let is_first = nullifiers.iter().all(|nullifier| !self.is_used(nullifier) && self.merged.insert(*nullifier));
        let is_first = is_first && self.successors.insert(inner_next);
        Invariant::OneReservation
            .require(is_first, || format!("one of {nullifiers:?}, or their successor, was there before"))?;
        let ctx = merge_ctx(&self.info.ledger_id, &self.info.merge_vk_digest().unwrap_or_default());
        let public = MergePublic { root, nullifiers, inner_next, ctx };
        let opened = self.secrets.open_merge(&public, &proof);
        let opened = opened.ok_or_else(|| Invariant::SpendsProved.violated(format!("{nullifiers:?}: no proof")))?;
        let notes = opened.leaves.map(|leaf| self.notes.remove(&leaf).filter(|(owner, _)| *owner == opened.owner));
        let worth = notes[0].zip(notes[1]).map(|((_, one), (_, other))| one + other);
        let is_worth = worth == Some(opened.value_next.get());
        Invariant::SpendsProved.require(is_worth, || format!("{nullifiers:?} merge {notes:?}"))?;
        let is_exact = successor == leaf(inner_next, Credits::ZERO);
        Invariant::SuccessorExact.require(is_exact, || format!("{nullifiers:?} become another leaf"))?;
        self.add_note(successor, opened.owner, opened.value_next.get())
    }

    fn open_spend(&mut self, nullifier: &Nullifier) -> Result<&mut Spend, Violation> {
        let spend = self.spends.get_mut(nullifier).filter(|spend| spend.ended.is_none());
        spend.ok_or_else(|| Invariant::OneOutcome.violated(format!("{nullifier} is not reserved")))
    }

    fn end(
        &mut self,
        nullifier: &Nullifier,
        charge: Credits,
        refund: Credits,
        successor: Leaf,
        by: Option<SettledBy>,
    ) -> Result<(), Violation> {
        let spend = self.open_spend(nullifier)?;
        spend.ended = Some((charge.get(), by));
        let (owner, worth, payee) = (spend.owner, spend.value_next + refund.get(), spend.context.payee);
        let exact = charge.get() + refund.get() == spend.c_max && successor == leaf(spend.inner_next, refund);
        Invariant::SuccessorExact.require(exact, || format!("{nullifier}: {charge} charged, {refund} back"))?;
        self.charged += charge.get();
        self.payees.entry(payee).or_default().charged += charge.get();
        self.add_note(successor, owner, worth)
    }

    fn add_note(&mut self, leaf: Leaf, owner: usize, worth: u64) -> Result<(), Violation> {
        let is_new = self.notes.insert(leaf, (owner, worth)).is_none();
        Invariant::Conservation.require(is_new, || format!("the leaf {leaf} is there twice"))
    }

    fn worths(&self) -> Vec<Worth> {
        let mut worths = vec![Worth::default(); self.history[0].1.len()];
        for (owner, worth) in self.notes.values() {
            worths[*owner].total += worth;
        }
        for spend in self.spends.values().filter(|spend| spend.ended.is_none()) {
            worths[spend.owner].total += spend.value_next + spend.c_max;
            worths[spend.owner].reserved += spend.c_max;
        }
        worths
    }

    fn check_sums(&self) -> Result<(), Violation> {
        let (_, owners) = &self.history[self.history.len() - 1];
        let held: u64 = owners.iter().map(|worth| worth.total).sum();
        let (minted, claimed, charged) = (self.minted, self.claimed, self.charged);
        Invariant::Conservation.require(minted + claimed == held + charged, || {
            format!("{minted} were minted, {claimed} claimed, {held} are in notes or reserved, {charged} are charged")
        })
    }
}

/// A spend whose wallet settles it for itself.
pub(crate) fn is_withdrawal(context: &credits::SpendContext) -> bool {
    context.keyset_digest == Bytes32::default() && context.settle_key == context.payee
}
