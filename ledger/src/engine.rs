//! The ledger over any store: signatures and proofs are verified here, outside the write transaction; decisions and
//! changes happen inside it; answers are read from a committed state afterwards.

use std::sync::Arc;

use credits::claim::{VerifiedClaim, claims_made, decide_claim};
use credits::fault::{VerifiedSlash, decide_slash};
use credits::ledger::LOG_PAGE_ENTRIES_MAX;
use credits::rating::{VerifiedRating, decide_rating};
use credits::stake::VerifiedStake;
use credits::state::{MergeDecision, ReserveDecision, ReserveFacts, VerifiedJournal, VerifiedSettle, decide_reserve};
use credits::{
    Bond, Bytes32, CheckpointAnswer, ClaimEntry, ClaimRequest, ClaimResponse, JournalRequest, Ledger, LedgerError,
    LedgerInfo, LogEntry, LogPage, MergeEntry, MergeRequest, MergeResponse, Nullifier, PayeeAccount, RatingEntry,
    RatingRequest, RatingResponse, Recorded, RedeemRequest, RedeemResponse, Reservation, ReserveRequest, SettleRequest,
    SettleResponse, SlashEntry, SlashRequest, SlashResponse, StakeEntry, StakeRequest, StakeResponse,
};

use crate::answers::{self, Signed, Signer};
use crate::clock::Clock;
use crate::committed::Committed;
use crate::error::{Abort, StoreError};
use crate::identity::LedgerIdentity;
use crate::merging;
use crate::proof_queue::{Admitted, ProofQueue};
use crate::reserved_lately::{ReservedAs, ReservedLately};
use crate::spend_verifier::SpendVerifier;
use crate::standing::decide_stake;
use crate::storage::{Backend, Heads, Totals, View};
use crate::transitions::{FINALISED_PER_OP_MAX, Op, Outcome, VerifiedRedeem};

/// A ledger over a store.
pub struct StoredLedger<B> {
    shared: Arc<Shared<B>>,
}

struct Shared<B> {
    backend: B,
    proofs: ProofQueue,
    identity: LedgerIdentity,
    clock: Arc<dyn Clock>,
    signed: Signed,
    reserved_lately: ReservedLately,
}

impl<B> Shared<B> {
    /// Seals the answers that are given now.
    fn signer(&self) -> Signer<'_> {
        Signer { identity: &self.identity, signed: &self.signed, now: self.clock.now() }
    }
}

impl<B> Clone for StoredLedger<B> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<B: Backend> StoredLedger<B> {
    pub(crate) fn over(
        backend: B,
        verifier: impl SpendVerifier,
        identity: LedgerIdentity,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let proofs = ProofQueue::start(verifier)?;
        let (signed, reserved_lately) = (Signed::default(), ReservedLately::default());
        Ok(Self { shared: Arc::new(Shared { backend, proofs, identity, clock, signed, reserved_lately }) })
    }

    pub(crate) fn identity(&self) -> &LedgerIdentity {
        &self.shared.identity
    }

    pub(crate) fn backend(&self) -> &B {
        &self.shared.backend
    }

    /// Ends every reservation that is overdue and returns their number.
    pub async fn finalise_overdue(&self) -> Result<usize, LedgerError> {
        let mut total: usize = 0;
        loop {
            let Outcome::Finalised { count } = self.shared.backend.submit(Op::FinaliseOverdue).await? else {
                return Err(LedgerError::Unavailable);
            };
            total = total.saturating_add(count);
            if count < FINALISED_PER_OP_MAX {
                return Ok(total);
            }
        }
    }

    /// The sums over the whole log.
    pub async fn totals(&self) -> Result<Totals, LedgerError> {
        self.read(|_, view| Ok(view.totals())).await
    }

    /// The heads of the log and the note tree.
    pub async fn heads(&self) -> Result<Heads, LedgerError> {
        self.read(|_, view| Ok(view.heads())).await
    }

    /// The current checkpoint, with the proof that the log's first `to` entries extend its first `from`.
    pub async fn checkpoint_between(&self, from: u64, to: u64) -> Result<CheckpointAnswer, LedgerError> {
        self.read(move |signer, view| answers::checkpoint(signer, view, from, Some(to))).await
    }

    /// Reads the newest committed state on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        answer: impl FnOnce(&Signer<'_>, &dyn View) -> Result<T, Abort> + Send + 'static,
    ) -> Result<T, LedgerError> {
        self.blocking(move |shared| shared.backend.read(|view| answer(&shared.signer(), view))).await
    }

    /// Answers an operation from what its transaction left, or from the store when that does not tell: the operation was a repeat of
    /// one of before.
    async fn answer<T: Send + 'static>(
        &self,
        committed: Option<Arc<Committed>>,
        answer: impl Fn(&Signer<'_>, &dyn View) -> Result<T, Abort> + Send + 'static,
    ) -> Result<T, LedgerError> {
        match committed.map(|committed| answer(&self.shared.signer(), &*committed)) {
            Some(Ok(answer)) => Ok(answer),
            _ => self.read(answer).await,
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared<B>) -> Result<T, Abort> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let shared = Arc::clone(&self.shared);
        let result = tokio::task::spawn_blocking(move || work(&shared)).await;
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Abort::Refused(error))) => Err(error),
            Ok(Err(Abort::Broken(error))) => {
                tracing::error!(error = %error.chain(), "reading the ledger's store failed");
                Err(LedgerError::Unavailable)
            }
            Err(_panicked_or_cancelled) => Err(LedgerError::Unavailable),
        }
    }

    /// Step 1 of a reservation: the cheap checks, on the newest committed state. A repeat is answered without looking at its
    /// proof; what is not one comes back to be proved.
    async fn admit(&self, request: ReserveRequest) -> Result<Admission, LedgerError> {
        let admitted = self.shared.proofs.admit()?;
        self.blocking(move |shared| {
            let now = shared.clock.now();
            shared.backend.read(|view| {
                let rules = shared.identity.rules();
                let recorded = view.spend(&request.nullifier)?;
                let facts = ReserveFacts {
                    recorded: recorded.as_ref(),
                    inner_used: view.inner_used(&request.inner_next)?,
                    root_recent: view.root_recent(&request.root, rules.root_window)?,
                };
                match decide_reserve(&request, facts, &rules.reserve, now)? {
                    ReserveDecision::Record => Ok(Admission::New(Box::new(request), admitted)),
                    ReserveDecision::Repeat { .. } => {
                        let reservation = answers::reservation(&shared.signer(), view, &request.nullifier)?;
                        Ok(Admission::Repeat(Box::new(reservation)))
                    }
                }
            })
        })
        .await
    }

    async fn reserved_as(&self, nullifier: Nullifier) -> Result<ReservedAs, LedgerError> {
        if let Some(reserved) = self.shared.reserved_lately.get(&nullifier) {
            return Ok(reserved);
        }
        let read = self.read(move |_, view| {
            let state = view.spend(&nullifier)?.ok_or(LedgerError::NotFound)?;
            Ok(ReservedAs::from(state.spend().ok_or(LedgerError::NotFound)?))
        });
        let reserved = read.await?;
        self.shared.reserved_lately.remember(nullifier, reserved);
        Ok(reserved)
    }

    /// The key of a tab.
    async fn tab_key(&self, nullifier: Nullifier) -> Result<Bytes32, LedgerError> {
        self.read(move |_, view| {
            let state = view.spend(&nullifier)?.ok_or(LedgerError::NotFound)?;
            Ok(state.spend().ok_or(LedgerError::NotFound)?.context.tab_key)
        })
        .await
    }

    /// Carries out an operation that is one entry, of the kind that `pick` takes.
    async fn logged<E: Send + 'static>(
        &self,
        op: Op,
        pick: fn(LogEntry) -> Option<E>,
    ) -> Result<Recorded<E>, LedgerError> {
        let (Outcome::Logged { entry_index }, committed) = self.shared.backend.commit(op).await? else {
            return Err(LedgerError::Unavailable);
        };
        self.answer(committed, move |signer, view| answers::recorded(signer, view, entry_index, pick)).await
    }
}

/// Writes the functions that take entries of one kind.
macro_rules! picks {
    ($($name:ident: $variant:ident($entry:ty),)*) => {
        $(fn $name(entry: LogEntry) -> Option<$entry> {
            if let LogEntry::$variant(entry) = entry { Some(entry) } else { None }
        })*
    };
}

picks! {
    as_claim: Claim(ClaimEntry),
    as_merge: Merge(MergeEntry),
    as_stake: Stake(StakeEntry),
    as_slash: Slash(SlashEntry),
    as_rating: Rating(RatingEntry),
}

enum Admission {
    Repeat(Box<Reservation>),
    New(Box<ReserveRequest>, Admitted),
}

impl<B: Backend> Ledger for StoredLedger<B> {
    async fn info(&self) -> Result<LedgerInfo, LedgerError> {
        Ok(self.shared.identity.info().clone())
    }

    async fn redeem(&self, request: RedeemRequest) -> Result<RedeemResponse, LedgerError> {
        let redeem = VerifiedRedeem::verify(request, self.shared.identity.info())?;
        let count = redeem.output_count();
        let (Outcome::Redeemed { first_entry }, committed) = self.shared.backend.commit(Op::Redeem(redeem)).await?
        else {
            return Err(LedgerError::Unavailable);
        };
        self.answer(committed, move |signer, view| answers::redeem(signer, view, first_entry, count)).await
    }

    async fn reserve(&self, request: ReserveRequest) -> Result<Reservation, LedgerError> {
        let (nullifier, reserved) = (request.nullifier, ReservedAs::from(&request));
        let proved = match self.admit(request).await? {
            Admission::Repeat(reservation) => return Ok(*reservation),
            // 2 The proof.
            Admission::New(request, admitted) => self.shared.proofs.verify(*request, admitted).await?,
        };
        // 3 The decision is made again inside the transaction: only there it is final.
        let (_recorded, committed) = self.shared.backend.commit(Op::Reserve(proved)).await?;
        self.shared.reserved_lately.remember(nullifier, reserved);
        self.answer(committed, move |signer, view| answers::reservation(signer, view, &nullifier)).await
    }

    async fn journal(&self, request: JournalRequest) -> Result<(), LedgerError> {
        let ReservedAs { settle_key, .. } = self.reserved_as(request.nullifier).await?;
        let journal = VerifiedJournal::verify(request, &self.shared.identity.ledger_id(), settle_key)?;
        self.shared.backend.submit(Op::Journal(journal)).await.map(|_recorded| ())
    }

    async fn settle(&self, request: SettleRequest) -> Result<SettleResponse, LedgerError> {
        let nullifier = request.nullifier;
        let ReservedAs { settle_key, inner_next, c_max } = self.reserved_as(nullifier).await?;
        let mut settle = VerifiedSettle::verify(request, &self.shared.identity.ledger_id(), settle_key)?;
        settle.hash_ahead(inner_next, c_max);
        let (_recorded, committed) = self.shared.backend.commit(Op::Settle(settle)).await?;
        self.answer(committed, move |signer, view| answers::settlement(signer, view, &nullifier)).await
    }

    async fn claim(&self, request: ClaimRequest) -> Result<ClaimResponse, LedgerError> {
        let claim = VerifiedClaim::verify(request, &self.shared.identity.ledger_id())?;
        // Anybody can sign claims for keys that are owed nothing: those do not come before the writer.
        let asked = claim.clone();
        self.read(move |_, view| {
            let (payee, last) = (asked.request().payee, view.last_claim(&asked.request().payee)?);
            Ok(decide_claim(view.payee_owed(&payee)?, last.as_ref(), &asked)?)
        })
        .await?;
        self.logged(Op::Claim(claim), as_claim).await
    }

    async fn stake(&self, request: StakeRequest) -> Result<StakeResponse, LedgerError> {
        let stake = VerifiedStake::verify(request, &self.shared.identity.ledger_id())?;
        // As with claims.
        let asked = stake.clone();
        let now = self.shared.clock.now();
        self.read(move |_, view| {
            let payee = asked.request().payee;
            let bond = view.bond(&payee)?.unwrap_or_default();
            Ok(decide_stake(&bond, view.payee_owed(&payee)?, &asked, now)?)
        })
        .await?;
        self.logged(Op::Stake(stake), as_stake).await
    }

    async fn slash(&self, request: SlashRequest) -> Result<SlashResponse, LedgerError> {
        let slash = VerifiedSlash::verify(request, &self.shared.identity.ledger_id())?;
        let asked = slash.clone();
        let now = self.shared.clock.now();
        self.read(move |_, view| Ok(decide_slash(view.bond(&asked.request().payee)?.as_ref(), &asked, now)?)).await?;
        self.logged(Op::Slash(Box::new(slash)), as_slash).await
    }

    async fn rate(&self, request: RatingRequest) -> Result<RatingResponse, LedgerError> {
        let nullifier = request.nullifier;
        let tab_key = self.tab_key(nullifier).await?;
        let rating = VerifiedRating::verify(request, &self.shared.identity.ledger_id(), tab_key)?;
        let asked = rating.clone();
        self.read(move |_, view| {
            let state = view.spend(&nullifier)?.ok_or(LedgerError::NotFound)?;
            Ok(decide_rating(&state, &asked)?)
        })
        .await?;
        self.logged(Op::Rate(rating), as_rating).await
    }

    async fn bond(&self, payee: Bytes32) -> Result<Bond, LedgerError> {
        self.read(move |_, view| Ok(view.bond(&payee)?.unwrap_or_default())).await
    }

    async fn merge(&self, request: MergeRequest) -> Result<MergeResponse, LedgerError> {
        let ctx = merging::context(self.shared.identity.info())?;
        let admitted = self.shared.proofs.admit()?;
        let (rules, asked) = (self.shared.identity.rules(), request.clone());
        // The cheap checks; a repeat is answered without looking at its proof.
        let repeat = self
            .read(move |signer, view| match merging::decide(view, &rules, &asked)? {
                MergeDecision::Repeat { entry_index } => {
                    answers::recorded(signer, view, entry_index, as_merge).map(Some)
                }
                MergeDecision::Record => Ok(None),
            })
            .await?;
        if let Some(answer) = repeat {
            return Ok(answer);
        }
        let proved = self.shared.proofs.verify_merge(request, ctx, admitted).await?;
        self.logged(Op::Merge(proved), as_merge).await
    }

    async fn payee(&self, payee: Bytes32) -> Result<PayeeAccount, LedgerError> {
        self.read(move |_, view| {
            let claims = claims_made(view.last_claim(&payee)?.as_ref());
            Ok(PayeeAccount { owed: view.payee_owed(&payee)?, claims })
        })
        .await
    }

    async fn log(&self, from: u64, limit: u32) -> Result<LogPage, LedgerError> {
        if limit == 0 || limit > LOG_PAGE_ENTRIES_MAX {
            return Err(LedgerError::Malformed);
        }
        self.read(move |signer, view| answers::log(signer, view, from, limit)).await
    }

    async fn checkpoint(&self, from: u64) -> Result<CheckpointAnswer, LedgerError> {
        self.read(move |signer, view| answers::checkpoint(signer, view, from, None)).await
    }
}
