//! A ledger in memory, honest unless a test edits what it says. It verifies no proofs: the wallet does not look at them.

use std::collections::BTreeMap;

use super::super::{PreparedSpend, Wallet};
use crate::bytes::Bytes32;
use crate::checkpoint::{Checkpoint, UnsignedCheckpoint, ledger_id};
use crate::claim::ClaimRequest;
use crate::context::SpendContextInputs;
use crate::entry::{
    ClaimEntry, JournalEntry, LogEntry, MergeEntry, MintEntry, ReserveEntry, SettleEntry, SettledBy, VoidEntry,
};
use crate::keys::SigningKey;
use crate::ledger::{
    LEDGER_VERSION, LedgerInfo, LogPage, MergeInfo, MintOutput, SettleRequest, journal_message, settle_message,
};
use crate::merge::MergePublic;
use crate::merkle::LogFrontier;
use crate::note::{Blind, Inner, Nullifier, Root, inner, leaf, mint_rho};
use crate::spend::SpendProof;
use crate::tree::{ANCHOR_LIFE, ANCHOR_STEP, NoteFrontier};
use crate::value::Credits;

pub(super) const SEED: [u8; 32] = [0x5e; 32];
pub(super) const GRACE_SECS: u64 = 60;
/// Less than an anchor's life.
const ROOT_WINDOW: u64 = 8;
const MERGE_VK_DIGEST: Bytes32 = Bytes32([0x3e; 32]);

/// What the ledger knows of a spend that is not over.
#[derive(Clone)]
pub(super) struct Open {
    pub(super) inner_next: Inner,
    pub(super) c_max: Credits,
    pub(super) not_after: u64,
    pub(super) journalled: Option<Credits>,
    context_digest: crate::Fe,
}

#[derive(Clone)]
pub(super) struct FakeLedger {
    key: SigningKey,
    guardian: SigningKey,
    vk_digest: Bytes32,
    time: u64,
    pub(super) entries: Vec<LogEntry>,
    log: LogFrontier,
    tree: NoteFrontier,
    /// The root over each number of notes.
    roots: Vec<Root>,
    mints: u64,
    pub(super) open: BTreeMap<Nullifier, Open>,
    spent: BTreeMap<Nullifier, crate::Fe>,
    pub(super) minted: u64,
    pub(super) charged: u64,
}

/// A context that ends `secs` from the start of the ledger's time.
pub(super) fn inputs(ledger: &FakeLedger, secs: u64) -> SpendContextInputs {
    SpendContextInputs {
        ledger_id: ledger.info().ledger_id,
        vk_digest: ledger.vk_digest,
        keyset_digest: Bytes32([3; 32]),
        settle_key: ledger.guardian.public(),
        payee: Bytes32([5; 32]),
        price_sheet_digest: Bytes32([6; 32]),
        not_after: FakeLedger::START + secs,
    }
}

impl FakeLedger {
    pub(super) const START: u64 = 1_000_000;

    pub(super) fn new() -> Self {
        Self::with_vk(Bytes32([0x7e; 32]))
    }

    pub(super) fn with_vk(vk_digest: Bytes32) -> Self {
        Self {
            key: SigningKey::from_seed(&[1; 32]),
            guardian: SigningKey::from_seed(&[2; 32]),
            vk_digest,
            time: Self::START,
            entries: Vec::new(),
            log: LogFrontier::new(),
            tree: NoteFrontier::new(),
            roots: vec![NoteFrontier::new().root()],
            mints: 0,
            open: BTreeMap::new(),
            spent: BTreeMap::new(),
            minted: 0,
            charged: 0,
        }
    }

    pub(super) fn info(&self) -> LedgerInfo {
        LedgerInfo {
            version: LEDGER_VERSION.to_owned(),
            ledger_id: ledger_id(self.key.public(), self.vk_digest, Some(MERGE_VK_DIGEST)),
            ledger_key: self.key.public(),
            admin_key: Bytes32([9; 32]),
            vk_digest: self.vk_digest,
            holds_value: false,
            setup: "single-party".to_owned(),
            grace_secs: GRACE_SECS,
            root_window: ROOT_WINDOW,
            tab_secs_max: 3_600,
            merge: Some(MergeInfo { vk_digest: MERGE_VK_DIGEST, setup: "single-party".to_owned() }),
        }
    }

    pub(super) const fn time(&self) -> u64 {
        self.time
    }

    pub(super) const fn advance(&mut self, secs: u64) {
        self.time += secs;
    }

    pub(super) fn push(&mut self, entry: LogEntry) {
        self.log.append(entry.leaf_hash());
        if let Some((_, leaf)) = entry.appended_note() {
            self.tree.append(leaf).unwrap();
            self.roots.push(self.tree.root());
        }
        self.entries.push(entry);
    }

    pub(super) fn redeem(&mut self, outputs: &[MintOutput]) {
        for output in outputs {
            let rho = mint_rho(self.info().ledger_id, self.mints);
            let leaf = leaf(inner(output.pk, output.value, rho, Blind(output.b)), Credits::ZERO);
            let (mint_seq, leaf_index) = (self.mints, self.tree.len());
            let (value, pk, b, voucher_id) = (output.value, output.pk, output.b, Bytes32([4; 32]));
            self.push(LogEntry::Mint(MintEntry { mint_seq, value, pk, rho, b, leaf_index, leaf, voucher_id }));
            self.mints += 1;
            self.minted += value.get();
        }
    }

    pub(super) fn reserve(&mut self, spend: &PreparedSpend) -> Result<(), &'static str> {
        let public = spend.public;
        match self.spent.get(&public.nullifier) {
            Some(ctx) if *ctx == public.ctx => return Ok(()),
            Some(_) => return Err("credits.spend_conflict"),
            None => {}
        }
        if spend.context.not_after <= self.time {
            return Err("spend.expired");
        }
        let len = self.tree.len();
        let root = self.roots.iter().rposition(|root| *root == public.root).map(|count| u64::try_from(count).unwrap());
        let life = |count: u64| if count.is_multiple_of(ANCHOR_STEP) { ANCHOR_LIFE } else { ROOT_WINDOW };
        if root.is_none_or(|count| len - count >= life(count)) {
            return Err("spend.root_unknown");
        }
        let open = Open {
            inner_next: public.inner_next,
            c_max: public.c_max,
            not_after: spend.context.not_after,
            journalled: None,
            context_digest: public.ctx,
        };
        self.spent.insert(public.nullifier, open.context_digest);
        self.open.insert(public.nullifier, open);
        self.push(LogEntry::Reserve(ReserveEntry {
            root: public.root,
            nullifier: public.nullifier,
            inner_next: public.inner_next,
            c_max: public.c_max,
            context: spend.context.clone(),
            proof: SpendProof::from_bytes([0; 128]),
        }));
        Ok(())
    }

    pub(super) fn journal(&mut self, nullifier: Nullifier, total: Credits) {
        self.open.get_mut(&nullifier).unwrap().journalled = Some(total);
        let entry = self.journal_entry(nullifier, total);
        self.push(LogEntry::Journal(entry));
    }

    pub(super) fn journal_entry(&self, nullifier: Nullifier, total: Credits) -> JournalEntry {
        let signature = self.guardian.sign(&journal_message(&self.info().ledger_id, &nullifier, total));
        JournalEntry { nullifier, total, signature }
    }

    pub(super) fn settle(&mut self, nullifier: Nullifier, charge: Credits) {
        let entry = self.settle_entry(nullifier, charge);
        self.open.remove(&nullifier).unwrap();
        self.charged += charge.get();
        self.push(LogEntry::Settle(entry));
    }

    pub(super) fn settle_entry(&self, nullifier: Nullifier, charge: Credits) -> SettleEntry {
        let signature = self.guardian.sign(&settle_message(&self.info().ledger_id, &nullifier, charge));
        self.ended(nullifier, charge, SettledBy::Guardian, Some(signature))
    }

    /// A settlement by whoever has the settle key of the spend.
    pub(super) fn settle_signed(&mut self, request: &SettleRequest) {
        let entry = self.ended(request.nullifier, request.charge, SettledBy::Guardian, Some(request.signature));
        self.open.remove(&request.nullifier).unwrap();
        self.charged += request.charge.get();
        self.push(LogEntry::Settle(entry));
    }

    pub(super) fn claim(&mut self, request: &ClaimRequest) {
        let ClaimRequest { payee, claim_seq, output, signature } = request.clone();
        let MintOutput { pk, value, b } = output;
        let (mint_seq, leaf_index) = (self.mints, self.tree.len());
        let rho = mint_rho(self.info().ledger_id, mint_seq);
        let leaf = leaf(inner(pk, value, rho, Blind(b)), Credits::ZERO);
        let entry = ClaimEntry { payee, claim_seq, mint_seq, value, pk, rho, b, leaf_index, leaf, signature };
        self.push(LogEntry::Claim(entry));
        self.mints += 1;
    }

    pub(super) fn merge(&mut self, public: &MergePublic) -> Result<(), &'static str> {
        if public.nullifiers.iter().any(|nullifier| self.spent.contains_key(nullifier)) {
            return Err("credits.spend_conflict");
        }
        if !self.roots.contains(&public.root) {
            return Err("spend.root_unknown");
        }
        self.merge_anyway(public);
        Ok(())
    }

    pub(super) fn merge_anyway(&mut self, public: &MergePublic) {
        let MergePublic { root, nullifiers, inner_next, ctx } = *public;
        self.spent.extend(nullifiers.map(|nullifier| (nullifier, ctx)));
        let (leaf_index, leaf) = (self.tree.len(), leaf(inner_next, Credits::ZERO));
        let proof = SpendProof::from_bytes([0; 128]);
        self.push(LogEntry::Merge(MergeEntry { root, nullifiers, inner_next, leaf_index, leaf, proof }));
    }

    /// Takes the last entry back out of the log, and its note out of the tree.
    pub(super) fn pop(&mut self) -> Option<LogEntry> {
        let last = self.entries.pop();
        (self.log, self.tree) = (LogFrontier::new(), NoteFrontier::new());
        for entry in &self.entries {
            self.log.append(entry.leaf_hash());
            if let Some((_, leaf)) = entry.appended_note() {
                self.tree.append(leaf).unwrap();
            }
        }
        last
    }

    fn ended(
        &self,
        nullifier: Nullifier,
        charge: Credits,
        by: SettledBy,
        signature: Option<crate::SignatureBytes>,
    ) -> SettleEntry {
        let open = &self.open[&nullifier];
        let refund = open.c_max.checked_sub(charge).unwrap();
        let leaf = leaf(open.inner_next, refund);
        SettleEntry { nullifier, charge, refund, leaf_index: self.tree.len(), leaf, by, signature }
    }

    pub(super) fn void(&mut self, nullifier: Nullifier) {
        let open = self.open.remove(&nullifier).unwrap();
        let leaf = leaf(open.inner_next, open.c_max);
        let leaf_index = self.tree.len();
        self.push(LogEntry::Void(VoidEntry { nullifier, refund: open.c_max, leaf_index, leaf }));
    }

    /// What the ledger does itself when the guardian is gone.
    pub(super) fn finalise(&mut self) {
        let due = |(_, open): &(&Nullifier, &Open)| open.not_after + GRACE_SECS < self.time;
        let due: Vec<_> = self.open.iter().filter(due).map(|(nullifier, open)| (*nullifier, open.journalled)).collect();
        for (nullifier, journalled) in due {
            match journalled {
                Some(total) => {
                    let entry = self.ended(nullifier, total, SettledBy::Ledger, None);
                    self.open.remove(&nullifier);
                    self.charged += total.get();
                    self.push(LogEntry::Settle(entry));
                }
                None => self.void(nullifier),
            }
        }
    }

    pub(super) fn unsigned(&self) -> UnsignedCheckpoint {
        UnsignedCheckpoint {
            ledger_id: self.info().ledger_id,
            log_size: self.log.size(),
            log_root: self.log.root(),
            note_count: self.tree.len(),
            note_root: self.tree.root(),
            time: self.time,
        }
    }

    pub(super) fn sign(&self, unsigned: UnsignedCheckpoint) -> Checkpoint {
        Checkpoint::sign(unsigned, &self.key)
    }

    pub(super) fn checkpoint(&self) -> Checkpoint {
        self.sign(self.unsigned())
    }

    pub(super) fn page(&self, from: u64, limit: usize) -> LogPage {
        let from = usize::try_from(from).unwrap();
        let entries = self.entries.iter().skip(from).take(limit).cloned().collect();
        LogPage { entries, checkpoint: self.checkpoint() }
    }

    /// Brings a wallet in step.
    pub(super) fn sync(&self, wallet: &mut Wallet) {
        while wallet.apply_page(&self.page(wallet.next_entry(), 7)).unwrap().remaining > 0 {}
    }
}
