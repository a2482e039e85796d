//! The ledger of a simulation: the real one, over memory or over a disk that loses power, and the ways it can be made wrong so
//! that the simulation is seen to notice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use credits::{
    Bond, Bytes32, ClaimRequest, ClaimResponse, Credits, JournalRequest, Ledger, LedgerError, LedgerInfo, LogEntry,
    LogPage, MergeRequest, MergeResponse, Nullifier, PayeeAccount, RatingRequest, RatingResponse, RedeemRequest,
    RedeemResponse, Reservation, ReserveRequest, SettleRequest, SettleResponse, SlashRequest, SlashResponse, StakeAct,
    StakeRequest, StakeResponse,
};
use ledger::{Clock, DurableLedger, StoreError, StoredLedger, Totals, VolatileLedger};
use redb::Database;
use tokio::runtime::Runtime;

use super::secrets::{Secrets, Verifier};
use super::shown::Shown;
use crate::support::disk::{Disk, Fault, Seeded};
use crate::support::{START, identity};

/// A clock that goes where it is told, backwards too.
pub(crate) struct HandClock(AtomicU64);

impl HandClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(START)))
    }

    pub(crate) fn set(&self, now: u64) {
        self.0.store(now, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// A call that changes something.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Redeem(RedeemRequest),
    Reserve(Box<ReserveRequest>),
    Journal(JournalRequest),
    Settle(SettleRequest),
    Claim(ClaimRequest),
    Merge(Box<MergeRequest>),
    Stake(StakeRequest),
    Slash(Box<SlashRequest>),
    Rate(RatingRequest),
}

/// Its answer.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Redeemed(RedeemResponse),
    Reserved(Reservation),
    Journalled,
    Settled(SettleResponse),
    Claimed(Box<ClaimResponse>),
    Merged(Box<MergeResponse>),
    Staked(Box<StakeResponse>),
    Slashed(Box<SlashResponse>),
    Rated(Box<RatingResponse>),
}

/// A ledger's program that is wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LedgerFlaw {
    /// A successor is worth one credit more.
    RefundsOneMore,
    /// A nullifier can be reserved again in another context.
    ReservesTwice,
    /// Every mint is made twice.
    MintsTwice,
    /// A restart loses the last entry.
    ForgetsLast,
    /// A spend that was settled is settled once more.
    SettlesTwice,
    /// One credit more is charged than was signed.
    ChargesUnsigned,
    /// The sum of what was minted is told one too high.
    TellsOtherSums,
    /// Reservations are answered without a proof that the log has them.
    ProvesNothing,
    /// A reservation that is repeated is refused.
    RefusesRepeats,
    /// Proofs are not verified.
    TakesAnyProof,
    /// Payees have one credit more than they were paid.
    PaysOneMore,
    /// What is overdue is never ended.
    NeverFinalises,
    /// What is reserved is ended before its time.
    FinalisesEarly,
    /// A payee claims more than it is owed.
    ClaimsAboveOwed,
    /// A restart forgets which claims were made: one that arrives again is made again.
    ForgetsClaims,
    /// Claims are not the payee's.
    TakesAnyClaim,
    /// What was claimed is owed still.
    OwesWhatWasClaimed,
    /// Proofs of merges are not verified.
    TakesAnyMerge,
    /// Every merge is made twice.
    MergesTwice,
    /// A note that was merged can be reserved.
    SpendsMerged,
    /// A merge that is whole is refused.
    RefusesMerges,
    /// A stake is given back while it answers for a guardian.
    GivesStakesBack,
    /// A stake is never given back.
    KeepsStakes,
    /// A stake is taken for what is no fault, or was not signed.
    TakesAnyEvidence,
    /// A tab is rated again.
    RatesAgain,
}

enum Store {
    Memory(VolatileLedger),
    Disk { disk: Disk, ledger: Option<DurableLedger> },
}

pub(crate) struct Books {
    runtime: Arc<Runtime>,
    store: Store,
    secrets: Secrets,
    is_down: bool,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) info: LedgerInfo,
    flaw: Option<LedgerFlaw>,
    shown: Shown,
    /// Nullifiers that were reserved, for a ledger that is wrong about them.
    reserved: BTreeSet<Nullifier>,
    /// Claims that were made, for the same, and how many of them a restart made it forget.
    claims: Vec<ClaimRequest>,
    forgotten: usize,
    pub(crate) power_failures: u64,
}

/// Asks whichever ledger there is.
macro_rules! ask {
    ($books:expr, |$ledger:ident| $future:expr) => {
        match &$books.store {
            _ if $books.is_down => Err(LedgerError::Unavailable),
            Store::Memory($ledger) => $books.runtime.block_on($future),
            Store::Disk { ledger: Some($ledger), .. } => $books.runtime.block_on($future),
            Store::Disk { ledger: None, .. } => Err(LedgerError::Unavailable),
        }
    };
}

impl Books {
    pub(crate) fn new(runtime: Arc<Runtime>, secrets: Secrets, on_disk: Option<u64>, flaw: Option<LedgerFlaw>) -> Self {
        let clock = HandClock::new();
        let store = match on_disk {
            None => {
                let (takes_any, takes_any_merge) =
                    (flaw == Some(LedgerFlaw::TakesAnyProof), flaw == Some(LedgerFlaw::TakesAnyMerge));
                let verifier = Verifier { secrets: secrets.clone(), takes_any, takes_any_merge };
                Store::Memory(VolatileLedger::volatile(identity(), verifier, clock.clone()).unwrap())
            }
            Some(seed) => Store::Disk { disk: Disk::new(Vec::new(), Fault::None, Seeded::new(seed)), ledger: None },
        };
        let info = identity().info().clone();
        let shown = Shown::default();
        let mut books = Self {
            runtime,
            store,
            secrets,
            is_down: false,
            clock,
            info,
            flaw,
            shown,
            reserved: BTreeSet::new(),
            claims: Vec::new(),
            forgotten: 0,
            power_failures: 0,
        };
        books.start(0);
        books
    }

    pub(crate) fn is_down(&self) -> bool {
        self.is_down
    }

    pub(crate) fn call(&mut self, call: Call) -> Result<Answer, LedgerError> {
        let is_repeat = matches!(&call, Call::Reserve(request) if self.reserved.contains(&request.nullifier));
        let is_merge = matches!(call, Call::Merge(_));
        if is_repeat && self.flaw == Some(LedgerFlaw::RefusesRepeats)
            || is_merge && self.flaw == Some(LedgerFlaw::RefusesMerges)
        {
            return Err(LedgerError::SpendConflict);
        }
        if self.flaw == Some(LedgerFlaw::KeepsStakes)
            && matches!(&call, Call::Stake(StakeRequest { act: StakeAct::Take {}, .. }))
        {
            return Err(LedgerError::StakeHeld);
        }
        let mut answer = ask!(self, |ledger| carry_out(ledger, call.clone()));
        self.notice_failure();
        if let Ok(Answer::Reserved(reservation)) = &mut answer {
            self.reserved.insert(reservation.nullifier);
            if self.flaw == Some(LedgerFlaw::ProvesNothing) {
                reservation.inclusion.clear();
            }
        }
        if let (Call::Reserve(request), Err(LedgerError::SpendConflict)) = (&call, &answer)
            && let Some(LedgerFlaw::ReservesTwice | LedgerFlaw::SpendsMerged) = self.flaw
        {
            self.read_shown();
            if self.flaw == Some(LedgerFlaw::ReservesTwice) || self.shown.has_merged(&request.nullifier) {
                self.shown.append(LogEntry::Reserve(request.entry()));
            }
        }
        if let Call::Claim(request) = &call {
            self.claim_wrongly(request, &answer);
        }
        self.stand_wrongly(&call, &answer);
        answer
    }

    /// What a ledger that is wrong about stakes and ratings does besides.
    fn stand_wrongly(&mut self, call: &Call, answer: &Result<Answer, LedgerError>) {
        let now = self.clock.now();
        match (self.flaw, call, answer) {
            (Some(LedgerFlaw::GivesStakesBack), Call::Stake(request), Err(LedgerError::StakeHeld)) => {
                self.read_shown();
                self.shown.append_stake(request, now);
            }
            (
                Some(LedgerFlaw::TakesAnyEvidence),
                Call::Slash(request),
                Err(LedgerError::SlashNoFault | LedgerError::SlashSignature),
            ) => {
                let Ok(bond) = self.bond(request.payee) else { return };
                if !bond.at_stake(&request.settle_key, now).is_zero() {
                    self.read_shown();
                    self.shown.append_slash(request, &bond, now);
                }
            }
            (Some(LedgerFlaw::RatesAgain), Call::Rate(request), Err(LedgerError::RatingConflict)) => {
                self.read_shown();
                self.shown.append_rating(request);
            }
            _ => {}
        }
    }

    /// What a ledger that is wrong about claims does besides.
    fn claim_wrongly(&mut self, request: &ClaimRequest, answer: &Result<Answer, LedgerError>) {
        let is_repeat = self.claims.contains(request);
        let makes = match (self.flaw, answer) {
            (Some(LedgerFlaw::ClaimsAboveOwed), Err(LedgerError::ClaimAboveCharges))
            | (Some(LedgerFlaw::TakesAnyClaim), Err(LedgerError::ClaimSignature)) => true,
            (Some(LedgerFlaw::ForgetsClaims), _) => self.claims[..self.forgotten].contains(request),
            _ => false,
        };
        if answer.is_ok() && !is_repeat {
            self.claims.push(request.clone());
        }
        if makes {
            self.read_shown();
            self.shown.append_claim(request);
        }
    }

    pub(crate) fn finalise(&mut self) -> Result<usize, LedgerError> {
        if self.flaw == Some(LedgerFlaw::NeverFinalises) {
            return Ok(0);
        }
        let now = self.clock.now();
        if self.flaw == Some(LedgerFlaw::FinalisesEarly) {
            self.clock.set(now + 2 * crate::support::TAB_SECS_MAX);
        }
        let ended = ask!(self, |ledger| ledger.finalise_overdue());
        self.clock.set(now);
        self.notice_failure();
        ended
    }

    pub(crate) fn log(&mut self, from: u64, limit: u32) -> Result<LogPage, LedgerError> {
        if self.flaw.is_some() {
            return self.shown_log(from, limit);
        }
        let page = ask!(self, |ledger| ledger.log(from, limit));
        self.notice_failure();
        page
    }

    pub(crate) fn totals(&mut self) -> Result<Totals, LedgerError> {
        let totals = ask!(self, |ledger| ledger.totals());
        self.notice_failure();
        let more = u64::from(self.flaw == Some(LedgerFlaw::TellsOtherSums));
        totals.map(|totals| Totals { minted: Credits::new(totals.minted.get() + more).unwrap(), ..totals })
    }

    pub(crate) fn account(&mut self, payee: Bytes32) -> Result<PayeeAccount, LedgerError> {
        let account = ask!(self, |ledger| ledger.payee(payee));
        self.notice_failure();
        let claimed = self.claims.iter().filter(|claim| claim.payee == payee).map(|claim| claim.output.value.get());
        let more = match self.flaw {
            Some(LedgerFlaw::PaysOneMore) => 1,
            Some(LedgerFlaw::OwesWhatWasClaimed) => claimed.sum(),
            _ => 0,
        };
        account.map(|account| PayeeAccount { owed: Credits::new(account.owed.get() + more).unwrap(), ..account })
    }

    pub(crate) fn bond(&mut self, payee: Bytes32) -> Result<Bond, LedgerError> {
        let bond = ask!(self, |ledger| ledger.bond(payee));
        self.notice_failure();
        bond
    }

    /// The ledger ends: in memory it only stops answering.
    pub(crate) fn fail(&mut self, syncs: u64) {
        match &mut self.store {
            Store::Memory(_) => self.is_down = true,
            Store::Disk { disk, .. } => disk.arm(Fault::PowerAtSync(syncs)),
        }
        self.forgotten = self.claims.len();
        if self.flaw == Some(LedgerFlaw::ForgetsLast) {
            self.shown.forget_last();
        }
    }

    /// The ledger starts with what it has. On disk the power may fail meanwhile; then it stays down.
    pub(crate) fn start(&mut self, syncs: u64) {
        let Store::Disk { disk, ledger } = &mut self.store else {
            self.is_down = false;
            return;
        };
        if ledger.is_some() {
            return;
        }
        let fault = if syncs == 0 { Fault::None } else { Fault::PowerAtSync(syncs) };
        *disk = Disk::new(disk.image(), fault, Seeded::new(self.power_failures));
        match open(disk, &self.secrets, &self.clock) {
            Ok(opened) => *ledger = Some(opened),
            Err(error) => {
                assert!(disk.is_down(), "what is left of the ledger cannot be opened: {}", error.chain());
                self.power_failures += 1;
            }
        }
        self.is_down = ledger.is_none();
    }

    /// From here on nothing fails, and the ledger is up.
    pub(crate) fn stop_failing(&mut self) {
        if let Store::Disk { disk, .. } = &self.store {
            disk.arm(Fault::None);
        }
        self.start(0);
    }

    /// A store that lost its power takes nothing more; its process is over.
    fn notice_failure(&mut self) {
        let Store::Disk { disk, ledger } = &mut self.store else { return };
        if let Some(failed) = ledger.take_if(|_| disk.is_down()) {
            // Reading may not notice, but no write is possible any more.
            drop(failed);
            self.is_down = true;
            self.power_failures += 1;
        }
    }

    fn read_shown(&mut self) {
        let flaw = self.flaw;
        let Ok(page) = ask!(self, |ledger| ledger.log(self.shown.read, 1000)) else { return };
        for entry in page.entries {
            self.shown.read += 1;
            self.shown.take(entry, flaw);
        }
    }

    fn shown_log(&mut self, from: u64, limit: u32) -> Result<LogPage, LedgerError> {
        if self.is_down {
            return Err(LedgerError::Unavailable);
        }
        self.read_shown();
        let from = usize::try_from(from).unwrap();
        let rest = self.shown.entries.get(from..).ok_or(LedgerError::NotFound)?;
        let entries = rest.iter().take(usize::try_from(limit).unwrap()).cloned().collect();
        Ok(LogPage { entries, checkpoint: self.shown.checkpoint(&self.info, self.clock.now()) })
    }
}

async fn carry_out<B: ledger::storage::Backend>(ledger: &StoredLedger<B>, call: Call) -> Result<Answer, LedgerError> {
    match call {
        Call::Redeem(request) => ledger.redeem(request).await.map(Answer::Redeemed),
        Call::Reserve(request) => ledger.reserve(*request).await.map(Answer::Reserved),
        Call::Journal(request) => ledger.journal(request).await.map(|()| Answer::Journalled),
        Call::Settle(request) => ledger.settle(request).await.map(Answer::Settled),
        Call::Claim(request) => ledger.claim(request).await.map(|claimed| Answer::Claimed(Box::new(claimed))),
        Call::Merge(request) => ledger.merge(*request).await.map(|merged| Answer::Merged(Box::new(merged))),
        Call::Stake(request) => ledger.stake(request).await.map(|staked| Answer::Staked(Box::new(staked))),
        Call::Slash(request) => ledger.slash(*request).await.map(|slashed| Answer::Slashed(Box::new(slashed))),
        Call::Rate(request) => ledger.rate(request).await.map(|rated| Answer::Rated(Box::new(rated))),
    }
}

fn open(disk: &Disk, secrets: &Secrets, clock: &Arc<HandClock>) -> Result<DurableLedger, StoreError> {
    let mut builder = Database::builder();
    builder.set_cache_size(1 << 20);
    let database = builder
        .create_with_backend(disk.clone())
        .map_err(|error| StoreError::Database { doing: "open", source: Box::new(error) })?;
    let verifier = Verifier { secrets: secrets.clone(), takes_any: false, takes_any_merge: false };
    DurableLedger::over_database(database, identity(), verifier, clock.clone())
}
