//! A device with a wallet on it: the real wallet, stored after every change as the client stores it, and the client's account of
//! its tabs (`verifier/src/{payment,tab,wallet_store}.rs`).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use credits::wallet::{
    Balance, HistoryItem, NoteStatus, OwnWithdrawal, PreparedSpend, SpendProgress, SyncProgress, Wallet, WalletError,
    WalletSeed, WalletState,
};
use credits::{
    Bytes32, Credits, LedgerInfo, LogPage, MintOutput, Nullifier, OpenTabRequest, Settlement, SigningKey,
    SpendContextInputs, TabKey,
};

use super::invariant::{Invariant, Violation};
use super::merges::MergesSent;
use super::op::Restored;
use super::secrets::Secrets;
use crate::support::START;

/// How many older copies of what it saved a device's owner has.
const BACKUPS_MAX: usize = 4;

/// What must be left of a cut off withdrawal's time for it to be taken up (`verifier/src/payment/resume.rs`).
const WITHDRAWAL_SECS_LEFT_MIN: u64 = 120;

/// A wallet's program that is wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WalletFlaw {
    /// A prepared spend is sent before it is stored.
    SendsBeforeSaving,
    /// A page that contradicts what was seen makes it start again, trusting the page.
    TrustsOldPages,
    /// What comes back by itself is not shown.
    HidesPending,
    /// It takes no notice of what a refused guardian may have done: every error frees the note.
    FreesOnAnyError,
    /// A withdrawal is sent before it is stored.
    ForgetsWithdrawals,
    /// It takes another's claim for its own.
    TellsOfLostClaims,
    /// Every claim has the number of its first.
    ReusesClaimNumbers,
    /// It shows a withdrawal's text before it is charged.
    HandsOutUncharged,
    /// It tells of no withdrawal that was finished before.
    HidesWithdrawals,
    /// All its withdrawals have one payee.
    HasOnePayee,
    /// It forgets which notes it asked for.
    AsksForNotesAgain,
    /// A merge is sent before it is stored.
    MergesBeforeSaving,
    /// A merge without an answer is given up.
    GivesUpMerges,
}

/// What becomes of a withdrawal when it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    Anew,
    /// The note was to be withdrawn, or spent, by another amount before.
    WithAnotherAmount,
    /// One that was cut off is taken up.
    Again,
}

/// This side's account of a tab.
#[derive(Debug, Default)]
struct TabAccount {
    /// Costs by idempotency key.
    receipts: BTreeMap<String, u64>,
    running_total: u64,
    /// Attempts at calls that have no answer.
    under_way: BTreeMap<String, u64>,
    /// What the calls so far cost if they are served.
    costs: Vec<u64>,
    /// Something may have been charged that this side cannot know of.
    is_unsure: bool,
}

pub(crate) struct Device {
    pub(crate) owner: usize,
    pub(crate) clock: u64,
    /// Counts starts; answers to an earlier one find nobody.
    pub(crate) life: u64,
    seed: [u8; 32],
    info: LedgerInfo,
    wallet: Wallet,
    saved: Vec<u8>,
    backups: Vec<Vec<u8>>,
    changes: usize,
    tabs: BTreeMap<Nullifier, TabAccount>,
    /// Tabs that were settled, or that may have been used by an earlier start: their accounts are not whole.
    old_tabs: BTreeSet<Nullifier>,
    /// Spends that were sent and may be reserved: when they end.
    sent: BTreeMap<Nullifier, u64>,
    pub(super) merges: MergesSent,
    /// The greatest ledger time under which this device was in step.
    ledger_time: u64,
    /// Entries of the newest checkpoint, and of the replayed log.
    seen: (u64, u64),
    /// It was put back to an older copy, or to the seed alone.
    pub(crate) forgot: bool,
    pub(crate) flaw: Option<WalletFlaw>,
}

impl Device {
    pub(crate) fn new(owner: usize, info: &LedgerInfo, flaw: Option<WalletFlaw>) -> Self {
        let seed = [0x40 + u8::try_from(owner).unwrap(); 32];
        let wallet = fresh(seed, info);
        let saved = serde_json::to_vec(wallet.state()).unwrap();
        Self {
            owner,
            clock: START,
            life: 0,
            seed,
            info: info.clone(),
            wallet,
            saved,
            backups: Vec::new(),
            changes: 0,
            tabs: BTreeMap::new(),
            old_tabs: BTreeSet::new(),
            sent: BTreeMap::new(),
            merges: MergesSent::default(),
            ledger_time: 0,
            seen: (0, 0),
            forgot: false,
            flaw,
        }
    }

    pub(crate) fn wallet(&self) -> &Wallet {
        &self.wallet
    }

    /// Changes the wallet and stores it before anything else happens.
    pub(super) fn update<T>(
        &mut self,
        change: impl FnOnce(&mut Wallet) -> Result<T, WalletError>,
    ) -> Result<T, WalletError> {
        let outcome = change(&mut self.wallet)?;
        let before = std::mem::replace(&mut self.saved, serde_json::to_vec(self.wallet.state()).unwrap());
        if self.changes.is_multiple_of(3) {
            self.backups.truncate(BACKUPS_MAX - 1);
            self.backups.insert(0, before);
        }
        self.changes += 1;
        self.seen.0 = self.seen.0.max(self.wallet.state().newest_seen().map_or(0, |newest| newest.log_size));
        self.seen.1 = self.seen.1.max(self.wallet.next_entry());
        Ok(outcome)
    }

    /// Changes the wallet and stores nothing, which is wrong.
    pub(super) fn unsaved<T>(
        &mut self,
        change: impl FnOnce(&mut Wallet) -> Result<T, WalletError>,
    ) -> Result<T, WalletError> {
        change(&mut self.wallet)
    }

    pub(crate) fn deposit(&mut self, value: u64, notes: u32) -> Option<Vec<MintOutput>> {
        let value = Credits::new(value).unwrap();
        if self.flaw == Some(WalletFlaw::AsksForNotesAgain) {
            return self.wallet.clone().deposit_outputs(value, notes).ok();
        }
        self.update(|wallet| wallet.deposit_outputs(value, notes)).ok()
    }

    /// Applies a page of the ledger's own log.
    pub(crate) fn apply(&mut self, page: &LogPage) -> Result<SyncProgress, WalletError> {
        let progress = self.update(|wallet| wallet.apply_page(page))?;
        self.merges.read(&self.wallet);
        if progress.remaining == 0 {
            self.ledger_time = self.ledger_time.max(page.checkpoint.time);
        }
        Ok(progress)
    }

    /// Takes note of a checkpoint that came with an answer.
    pub(crate) fn observe(&mut self, checkpoint: &credits::Checkpoint) -> Result<(), WalletError> {
        self.update(|wallet| wallet.observe(checkpoint))
    }

    /// Is shown a page that contradicts what it has seen.
    pub(crate) fn is_shown(&mut self, page: &LogPage) -> Result<WalletError, Violation> {
        let before = serde_json::to_vec(self.wallet.state()).unwrap();
        let refused = self.update(|wallet| wallet.apply_page(page));
        let Err(error) = refused else {
            return Err(Invariant::HostileViewsRefused.violated(format!("a page of {:?} was taken", page.checkpoint)));
        };
        if self.flaw == Some(WalletFlaw::TrustsOldPages) {
            self.wallet = fresh(self.seed, &self.info);
            return Ok(error);
        }
        let unchanged = serde_json::to_vec(self.wallet.state()).unwrap() == before;
        Invariant::HostileViewsRefused.require(unchanged, || format!("refused with {error}, but the state changed"))?;
        Ok(error)
    }

    /// Prepares a spend, stores it, proves it.
    pub(crate) fn open(
        &mut self,
        secrets: &Secrets,
        c_max: u64,
        inputs: SpendContextInputs,
    ) -> Result<Option<OpenTabRequest>, Violation> {
        let c_max = Credits::new(c_max).unwrap();
        let prepared = if self.flaw == Some(WalletFlaw::SendsBeforeSaving) {
            self.wallet.prepare_spend(c_max, inputs)
        } else {
            self.update(|wallet| wallet.prepare_spend(c_max, inputs))
        };
        let Ok(prepared) = prepared else { return Ok(None) };
        self.sends(prepared.public.nullifier, prepared.context.not_after)?;
        Ok(Some(self.prove(secrets, &prepared)))
    }

    /// A spend that was just prepared is sent.
    fn sends(&mut self, nullifier: Nullifier, not_after: u64) -> Result<(), Violation> {
        self.may_spend(nullifier)?;
        self.sent.insert(nullifier, not_after);
        Ok(())
    }

    /// Only what the ledger can no longer reserve is spent again, and nothing that it may merge.
    pub(super) fn may_spend(&self, nullifier: Nullifier) -> Result<(), Violation> {
        if let Some(not_after) = self.sent.get(&nullifier) {
            let has_lapsed = not_after.saturating_add(self.info.grace_secs) < self.ledger_time;
            Invariant::OneSpendPerNote
                .require(has_lapsed, || format!("{nullifier} may be reserved until {not_after}"))?;
        }
        Invariant::OneSpendPerNote.require(!self.merges.has(&nullifier), || format!("{nullifier} may be merged"))
    }

    /// Takes up a withdrawal that was cut off, or prepares one and stores it (`verifier/src/{withdraw,payment/resume}.rs`).
    pub(crate) fn withdraw(&mut self, amount: u64, life: u64) -> Result<Option<(PreparedSpend, Begun)>, Violation> {
        let (amount, soonest) = (Credits::new(amount).unwrap(), self.clock.saturating_add(WITHDRAWAL_SECS_LEFT_MIN));
        let is_begun = |own: &OwnWithdrawal| own.progress == SpendProgress::Pending && own.withdrawal.value == amount;
        let begun = self.wallet.withdrawals().filter(is_begun);
        let again = begun.filter_map(|own| self.wallet.prepared(own.nullifier).ok());
        if let Some(prepared) = again.into_iter().find(|prepared| prepared.context.not_after > soonest) {
            self.sent.insert(prepared.public.nullifier, prepared.context.not_after);
            return Ok(Some((prepared, Begun::Again)));
        }
        let seen = self.wallet.state().newest_seen().map_or(0, |checkpoint| checkpoint.time);
        let not_after = self.clock.max(seen).saturating_add(life);
        let prepared = match self.flaw {
            Some(WalletFlaw::ForgetsWithdrawals) => self.wallet.prepare_withdrawal(amount, not_after),
            Some(WalletFlaw::HasOnePayee) => {
                let (ledger_id, vk_digest, none) = (self.info.ledger_id, self.info.vk_digest, Bytes32::default());
                let payee = SigningKey::from_seed(&self.seed).public();
                let (settle_key, keyset_digest, price_sheet_digest) = (payee, none, none);
                self.update(|wallet| {
                    wallet.prepare_spend(
                        amount,
                        SpendContextInputs {
                            ledger_id,
                            vk_digest,
                            keyset_digest,
                            settle_key,
                            payee,
                            price_sheet_digest,
                            not_after,
                        },
                    )
                })
            }
            _ => self.update(|wallet| wallet.prepare_withdrawal(amount, not_after)),
        };
        let Ok(prepared) = prepared else { return Ok(None) };
        let nullifier = prepared.public.nullifier;
        self.sends(nullifier, prepared.context.not_after)?;
        let with_another = |item: &HistoryItem| matches!(item, HistoryItem::Spend(item) if item.nullifier == nullifier && item.c_max != amount);
        let begun = if self.wallet.history().iter().any(with_another) { Begun::WithAnotherAmount } else { Begun::Anew };
        Ok(Some((prepared, begun)))
    }

    /// What its charged withdrawals are worth, by payee.
    pub(crate) fn withdrawals(&self) -> BTreeMap<Bytes32, u64> {
        let settled = |own: &OwnWithdrawal| own.progress == SpendProgress::Settled;
        let all = self.wallet.withdrawals().filter(settled);
        let hidden = self.flaw == Some(WalletFlaw::HidesWithdrawals);
        all.filter(|_| !hidden).map(|own| (own.withdrawal.key.public(), own.withdrawal.value.get())).collect()
    }

    /// A pending spend once more.
    pub(crate) fn resend(&mut self, secrets: &Secrets, pick: u64) -> Option<(OpenTabRequest, credits::SpendContext)> {
        let pending: Vec<_> = self.wallet.pending().collect();
        let nullifier = *choose(&pending, pick)?;
        let prepared = self.wallet.prepared(nullifier).ok()?;
        self.old_tabs.insert(nullifier);
        Some((self.prove(secrets, &prepared), prepared.context))
    }

    pub(crate) fn prove(&self, secrets: &Secrets, prepared: &PreparedSpend) -> OpenTabRequest {
        let public = prepared.public;
        OpenTabRequest {
            version: credits::tab::TAB_VERSION.to_owned(),
            root: public.root,
            nullifier: public.nullifier,
            inner_next: public.inner_next,
            c_max: public.c_max,
            not_after: prepared.context.not_after,
            tab_key: prepared.tab_key.public(),
            proof: secrets.prove(self.owner, &prepared.witness, public.ctx),
        }
    }

    pub(crate) fn tab_key(&self, tab: Nullifier) -> TabKey {
        self.wallet.tab_key(tab)
    }

    /// Tabs that calls can be made under.
    pub(crate) fn open_tabs(&self) -> Vec<Nullifier> {
        self.tabs.keys().copied().collect()
    }

    /// Tabs that can be closed: open ones, and those that an earlier start left.
    pub(crate) fn closable(&self) -> Vec<Nullifier> {
        let reserved = self.wallet.history().iter().filter_map(|item| match item {
            HistoryItem::Spend(item) if item.progress == SpendProgress::Reserved => Some(item.nullifier),
            _ => None,
        });
        reserved.chain(self.open_tabs()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// A new call under a tab, or the last one again: its idempotency key and cost.
    pub(crate) fn begin_call(&mut self, tab: Nullifier, cost: Option<u64>) -> Option<(String, u64)> {
        let account = self.tabs.get_mut(&tab)?;
        account.costs.extend(cost);
        let cost = *account.costs.last()?;
        let key = format!("call-{}", account.costs.len());
        if !account.receipts.contains_key(&key) {
            *account.under_way.entry(key.clone()).or_default() += 1;
        }
        Some((key, cost))
    }

    /// A call may now be served when nobody expects it any more.
    pub(crate) fn becomes_unsure(&mut self, tab: Nullifier) {
        if let Some(account) = self.tabs.get_mut(&tab) {
            account.is_unsure = true;
        }
    }

    pub(crate) fn opened(&mut self, tab: Nullifier) {
        let is_unsure = self.old_tabs.contains(&tab);
        self.tabs.entry(tab).or_insert_with(|| TabAccount { is_unsure, ..TabAccount::default() });
    }

    /// A tab was not opened. Only a clear no means that the ledger has not seen the spend.
    pub(crate) fn not_opened(&mut self, nullifier: Nullifier, status: u16, code: &str) -> bool {
        let clear_no = matches!(status, 400 | 402 | 403 | 404 | 413 | 422) && !code.starts_with("credits.");
        let frees = clear_no || self.flaw == Some(WalletFlaw::FreesOnAnyError);
        if frees {
            self.update(|wallet| {
                wallet.abandon(nullifier);
                Ok(())
            })
            .unwrap();
            if clear_no {
                self.sent.remove(&nullifier);
            }
        }
        frees
    }

    /// A receipt, checked as its client checks it.
    pub(crate) fn receipted(&mut self, tab: Nullifier, key: &str, cost: u64, total: u64) {
        if let Some(account) = self.tabs.get_mut(&tab) {
            account.under_way.remove(key);
            account.receipts.insert(key.to_owned(), cost);
            account.running_total = account.running_total.max(total);
        }
    }

    pub(crate) fn call_refused(&mut self, tab: Nullifier, key: &str, status: u16) {
        if let Some(account) = self.tabs.get_mut(&tab)
            && status < 500
        {
            let attempts = account.under_way.get_mut(key).map(|attempts| {
                *attempts -= 1;
                *attempts
            });
            if attempts == Some(0) {
                account.under_way.remove(key);
            }
        }
    }

    /// What is wrong with a settlement, as far as this side can tell; the tab is over.
    pub(crate) fn settled(&mut self, settlement: &Settlement) -> Option<String> {
        let account = self.tabs.remove(&settlement.nullifier)?;
        self.old_tabs.insert(settlement.nullifier);
        let charge = settlement.charge.get();
        if charge + settlement.refund.get() != settlement.reserve.get() {
            return Some("charge and refund do not add up".to_owned());
        }
        if charge < account.running_total {
            return Some(format!("{charge} is charged, a receipt showed {}", account.running_total));
        }
        let receipted: u64 = account.receipts.values().sum();
        let all_known = account.under_way.is_empty() && !account.is_unsure;
        (all_known && charge != receipted).then(|| format!("{charge} is charged, receipts say {receipted}"))
    }

    /// The device starts again.
    pub(crate) fn restore(&mut self, from: Restored, pick: usize) -> Result<(), Violation> {
        let seed = WalletSeed::from_bytes(self.seed);
        let stored = match from {
            Restored::Crash => Some(self.saved.clone()),
            Restored::Backup => self.backups.get(pick % self.backups.len().max(1)).cloned(),
            Restored::SeedAlone => None,
        };
        self.wallet = match stored {
            None => fresh(self.seed, &self.info),
            Some(bytes) => {
                let state: WalletState = serde_json::from_slice(&bytes).unwrap();
                Wallet::from_state(seed, state).map_err(|error| {
                    Invariant::WalletsExact.violated(format!("the stored state is refused: {error}"))
                })?
            }
        };
        self.life += 1;
        self.tabs.clear();
        if from != Restored::Crash {
            // It has forgotten what it sent, and what it saw.
            self.forgot = true;
            self.sent.clear();
            self.merges.clear();
            self.ledger_time = 0;
            self.seen = (0, 0);
        }
        self.update(|_wallet| Ok(())).unwrap();
        Ok(())
    }

    /// The latest end of its pending spends.
    pub(crate) fn last_end(&self) -> u64 {
        let ends = self.wallet.state().notes().iter().filter_map(|owned| match &owned.status {
            NoteStatus::Pending { context, .. } => Some(context.not_after),
            _ => None,
        });
        ends.max().unwrap_or(0)
    }

    /// What it must be by itself.
    pub(crate) fn check_view(&self) -> Result<(), Violation> {
        let newest = self.wallet.state().newest_seen().map_or(0, |newest| newest.log_size);
        let now = (newest, self.wallet.next_entry());
        Invariant::ViewsOnlyGrow
            .require(now.0 >= self.seen.0 && now.1 >= self.seen.1, || format!("{now:?} after {:?}", self.seen))?;
        let notes = self.wallet.state().notes();
        let nullifiers: BTreeSet<_> = notes.iter().map(|owned| owned.nullifier).collect();
        Invariant::OneSpendPerNote.require(nullifiers.len() == notes.len(), || "a note is owned twice".to_owned())
    }

    pub(crate) fn worth(&self) -> (u64, u64) {
        let Balance { spendable, reserved, pending } = self.wallet.balance();
        let pending = if self.flaw == Some(WalletFlaw::HidesPending) { 0 } else { pending.get() };
        (spendable.get() + reserved.get() + pending, reserved.get())
    }
}

/// A wallet that has seen nothing yet. Its first lanes take time to derive, and every seed of a simulation has the same wallets.
pub(crate) fn fresh(seed: [u8; 32], info: &LedgerInfo) -> Wallet {
    thread_local! {
        static FRESH: RefCell<BTreeMap<[u8; 32], Wallet>> = const { RefCell::new(BTreeMap::new()) };
    }
    let new = || Wallet::new(WalletSeed::from_bytes(seed), info);
    FRESH.with_borrow_mut(|wallets| wallets.entry(seed).or_insert_with(new).clone())
}

/// One of some, by any number.
pub(crate) fn choose<T>(from: &[T], pick: u64) -> Option<&T> {
    let count = u64::try_from(from.len()).unwrap();
    from.get(usize::try_from(pick.checked_rem(count)?).unwrap())
}
