//! The settlement contract behind the trait of ledgers, so that what is asked of every ledger can be asked of it.

use std::sync::{Arc, mpsc};
use std::thread;

use credits::ledger::LOG_PAGE_ENTRIES_MAX;
use credits::{
    Bond, Bytes32, CheckpointAnswer, ClaimRequest, ClaimResponse, JournalRequest, Ledger, LedgerError, LedgerInfo,
    LogPage, MergeRequest, MergeResponse, PayeeAccount, RatingRequest, RatingResponse, RedeemRequest, RedeemResponse,
    Reservation, ReserveRequest, SettleRequest, SettleResponse, SlashRequest, SlashResponse, StakeRequest,
    StakeResponse,
};

use crate::books::Books;
use crate::suite::support::TestClock;

type Call = Box<dyn FnOnce(&mut Books) + Send>;

/// A settlement contract. Its chain has a thread, which carries out one call after the other, as a chain does: whoever calls at the same time as
/// others is before or behind them.
pub(crate) struct EvmLedger {
    calls: mpsc::Sender<Call>,
    clock: Arc<TestClock>,
}

impl EvmLedger {
    pub(crate) fn new(clock: Arc<TestClock>) -> Self {
        let (calls, called) = mpsc::channel::<Call>();
        thread::spawn(move || {
            let mut books = Books::new();
            for call in called {
                call(&mut books);
            }
        });
        Self { calls, clock }
    }

    /// Asks in the next block, whose time is the clock's.
    pub(crate) fn ask<T: Send + 'static>(&self, question: impl FnOnce(&mut Books) -> T + Send + 'static) -> T {
        let now = self.clock.read();
        let (answer, answered) = mpsc::channel();
        let call = move |books: &mut Books| {
            books.world.chain.now = now;
            answer.send(question(books)).unwrap();
        };
        self.calls.send(Box::new(call)).unwrap();
        answered.recv().expect("the chain's thread has panicked")
    }
}

/// What no case that is run on the contract asks for.
fn absent(what: &str) -> ! {
    panic!("the settlement contract has no {what}")
}

impl Ledger for EvmLedger {
    async fn info(&self) -> Result<LedgerInfo, LedgerError> {
        Ok(self.ask(|books| books.info.clone()))
    }

    async fn redeem(&self, request: RedeemRequest) -> Result<RedeemResponse, LedgerError> {
        self.ask(move |books| books.redeem(&request))
    }

    async fn reserve(&self, request: ReserveRequest) -> Result<Reservation, LedgerError> {
        self.ask(move |books| books.reserve(&request))
    }

    async fn journal(&self, request: JournalRequest) -> Result<(), LedgerError> {
        self.ask(move |books| books.journal(&request))
    }

    async fn settle(&self, request: SettleRequest) -> Result<SettleResponse, LedgerError> {
        self.ask(move |books| books.settle(&request))
    }

    async fn claim(&self, request: ClaimRequest) -> Result<ClaimResponse, LedgerError> {
        self.ask(move |books| books.claim(&request))
    }

    async fn merge(&self, _: MergeRequest) -> Result<MergeResponse, LedgerError> {
        absent("merges")
    }

    async fn stake(&self, _: StakeRequest) -> Result<StakeResponse, LedgerError> {
        absent("stakes")
    }

    async fn slash(&self, _: SlashRequest) -> Result<SlashResponse, LedgerError> {
        absent("stakes")
    }

    async fn rate(&self, _: RatingRequest) -> Result<RatingResponse, LedgerError> {
        absent("ratings")
    }

    async fn bond(&self, _: Bytes32) -> Result<Bond, LedgerError> {
        absent("stakes")
    }

    async fn payee(&self, payee: Bytes32) -> Result<PayeeAccount, LedgerError> {
        Ok(self.ask(move |books| books.payee(&payee)))
    }

    async fn log(&self, from: u64, limit: u32) -> Result<LogPage, LedgerError> {
        if limit == 0 || limit > LOG_PAGE_ENTRIES_MAX {
            return Err(LedgerError::Malformed);
        }
        self.ask(move |books| books.page(from, limit))
    }

    async fn checkpoint(&self, from: u64) -> Result<CheckpointAnswer, LedgerError> {
        self.ask(move |books| books.checkpoint(from))
    }
}
