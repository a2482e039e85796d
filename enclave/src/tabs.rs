//! The tabs of this boot, in memory. What must survive a crash is at the ledger: the reservation and the running total.
//!
//! Invariant: `charged + held ≤ reserve` for every tab at all times, so a charge can never exceed what was reserved.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use attestation::{Sha256Digest, Signed};
use bytes::Bytes;
use credits::{Bytes32, Credits, Nullifier, Settlement};
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::limits::{CALLS_PER_TAB_MAX, REPLAY_HELD};

/// One open tab.
#[derive(Debug)]
pub struct Tab {
    /// The spend that opened it.
    pub id: Nullifier,
    /// Verifies requests under it.
    pub tab_key: Bytes32,
    /// What was reserved (`c_max`).
    pub reserve: Credits,
    /// When it stops taking requests.
    pub not_after: u64,
    /// Index of the reservation in the ledger's log.
    pub entry_index: u64,
    account: Mutex<Account>,
    /// Serialises ledger calls, so that journalled totals arrive in order.
    pub ledger_turn: tokio::sync::Mutex<Totals>,
    /// Turns true when streams must stop because the tab is being settled.
    pub cut: watch::Sender<bool>,
}

/// Running totals that were signed.
#[derive(Debug, Default)]
pub struct Totals {
    /// The last that the ledger took.
    pub taken: Credits,
    /// The highest that was signed, and so may be known to somebody: a charge below it would contradict it.
    pub signed: Credits,
}

#[derive(Debug, Default)]
struct Account {
    charged: Credits,
    held: Credits,
    /// The highest total whose receipt was taken.
    due: Credits,
    /// Somebody waits to journal it.
    is_awaited: bool,
    requests: u64,
    in_flight: u32,
    closing: bool,
    /// The ledger has ended the spend: nothing can be charged any more.
    ended: bool,
    settlement: Option<Signed<Settlement>>,
    calls: HashMap<String, Call>,
    /// Calls whose answers are held, oldest first, and when each ended.
    replays: VecDeque<(Instant, String)>,
}

#[derive(Debug)]
struct Call {
    body: Sha256Digest,
    outcome: Option<CallOutcome>,
}

/// How a finished call ended, for repeats under its idempotency key.
#[derive(Debug, Clone)]
pub struct CallOutcome {
    /// Its receipt.
    pub receipt_id: String,
    /// Its answer, while held.
    pub replay: Option<Replay>,
}

/// An answer held in memory.
#[derive(Debug, Clone)]
pub struct Replay {
    /// Body bytes as sent.
    pub body: Bytes,
    /// Whether they are an event stream.
    pub stream: bool,
    /// The room they take of all that may be held.
    _room: Arc<OwnedSemaphorePermit>,
}

/// Why a call may not start.
#[derive(Debug, Clone)]
pub enum CallRefusal {
    /// The tab is closing or closed.
    Closed,
    /// The same call is being served right now.
    InFlight,
    /// The key was used for another body.
    Conflict,
    /// The same call ended before.
    Repeat(CallOutcome),
    /// Too many requests in flight.
    Busy,
    /// Too many calls remembered.
    TooManyCalls,
    /// The reserve cannot cover it; what is left is given.
    Insufficient(Credits),
}

/// What stands in the way of settling.
#[derive(Debug)]
pub enum Closing {
    /// Nothing.
    Ready,
    /// Requests are being served.
    Busy,
    /// It is settled already.
    Settled(Box<Signed<Settlement>>),
}

/// A call that holds part of the reserve. Dropping it gives the hold back and charges nothing.
#[derive(Debug)]
pub struct Hold {
    tab: Arc<Tab>,
    key: String,
    amount: Credits,
    finished: bool,
}

impl Tab {
    /// A new tab with nothing charged.
    #[must_use]
    pub fn new(id: Nullifier, tab_key: Bytes32, reserve: Credits, not_after: u64, entry_index: u64) -> Self {
        let account = Mutex::new(Account::default());
        let ledger_turn = tokio::sync::Mutex::default();
        Self { id, tab_key, reserve, not_after, entry_index, account, ledger_turn, cut: watch::channel(false).0 }
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        // A panic while holding the lock leaves the account consistent: every update below is a few assignments.
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A total whose receipt was taken is due to be journalled. Whether nobody waits to do that.
    #[must_use]
    pub fn is_due(&self, total: Credits) -> bool {
        let mut account = self.account();
        account.due = account.due.max(total);
        !std::mem::replace(&mut account.is_awaited, true)
    }

    /// The total that is due, unless `journalled` covers it: then nobody waits any more.
    #[must_use]
    pub fn next_due(&self, journalled: Credits) -> Option<Credits> {
        let mut account = self.account();
        account.is_awaited = account.due > journalled;
        account.is_awaited.then_some(account.due)
    }

    /// What is neither charged nor held.
    #[must_use]
    pub fn available(&self) -> Credits {
        let account = self.account();
        available(self.reserve, &account)
    }

    /// The running total.
    #[must_use]
    pub fn charged(&self) -> Credits {
        self.account().charged
    }

    /// Requests served.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.account().requests
    }

    /// Whether requests are being served.
    #[must_use]
    pub fn in_flight(&self) -> bool {
        self.account().in_flight > 0
    }

    /// Looks at a repeat without starting anything.
    #[must_use]
    pub fn known_call(&self, key: &str, body: &Sha256Digest) -> Option<CallRefusal> {
        repeat_of(&self.account(), key, body)
    }

    /// Starts a call that may cost up to `amount`, unless so many are under way.
    pub fn hold(
        self: &Arc<Self>,
        key: &str,
        body: Sha256Digest,
        amount: Credits,
        at_once_max: u32,
    ) -> Result<Hold, CallRefusal> {
        let mut account = self.account();
        if let Some(refusal) = repeat_of(&account, key, &body) {
            return Err(refusal);
        }
        if account.closing || account.ended {
            return Err(CallRefusal::Closed);
        }
        if account.in_flight >= at_once_max {
            return Err(CallRefusal::Busy);
        }
        if account.calls.len() >= CALLS_PER_TAB_MAX {
            return Err(CallRefusal::TooManyCalls);
        }
        let left = available(self.reserve, &account);
        let held =
            account.held.checked_add(amount).filter(|_| amount <= left).ok_or(CallRefusal::Insufficient(left))?;
        account.held = held;
        account.in_flight = account.in_flight.saturating_add(1);
        account.calls.insert(key.to_owned(), Call { body, outcome: None });
        Ok(Hold { tab: Arc::clone(self), key: key.to_owned(), amount, finished: false })
    }

    /// Stops new calls for good, unless some are being served: a call that ended after the settlement could not be charged. Asked
    /// again, the answer is the same until the tab is settled.
    pub fn begin_closing(&self) -> Closing {
        let mut account = self.account();
        if let Some(settlement) = &account.settlement {
            return Closing::Settled(Box::new(settlement.clone()));
        }
        if account.in_flight > 0 {
            return Closing::Busy;
        }
        account.closing = true;
        Closing::Ready
    }

    /// Takes no more calls and breaks off those that are being served: the ledger no longer takes their running totals.
    pub fn end(&self) {
        self.account().ended = true;
        self.cut.send_replace(true);
    }

    /// Whether the tab is settled.
    #[must_use]
    pub fn settlement(&self) -> Option<Signed<Settlement>> {
        self.account().settlement.clone()
    }

    /// Records the settlement.
    pub fn closed(&self, settlement: Signed<Settlement>) {
        self.account().settlement = Some(settlement);
    }

    /// Drops answers held longer than [`REPLAY_HELD`].
    pub fn forget_replays(&self, now: Instant) {
        let mut account = self.account();
        while let Some((_, key)) = account.replays.pop_front_if(|(ended, _)| now.duration_since(*ended) >= REPLAY_HELD)
        {
            if let Some(outcome) = account.calls.get_mut(&key).and_then(|call| call.outcome.as_mut()) {
                outcome.replay = None;
            }
        }
    }
}

fn available(reserve: Credits, account: &Account) -> Credits {
    let used = account.charged.checked_add(account.held).unwrap_or(reserve);
    reserve.checked_sub(used).unwrap_or(Credits::ZERO)
}

fn repeat_of(account: &Account, key: &str, body: &Sha256Digest) -> Option<CallRefusal> {
    let call = account.calls.get(key)?;
    if call.body != *body {
        return Some(CallRefusal::Conflict);
    }
    Some(call.outcome.clone().map_or(CallRefusal::InFlight, CallRefusal::Repeat))
}

impl Hold {
    /// The tab.
    #[must_use]
    pub fn tab(&self) -> &Arc<Tab> {
        &self.tab
    }

    /// The most this call may cost.
    #[must_use]
    pub fn amount(&self) -> Credits {
        self.amount
    }

    /// What the tab's running total would be with `cost` added. Nothing changes.
    #[must_use]
    pub fn total_with(&self, cost: Credits) -> Credits {
        let cost = cost.min(self.amount);
        self.tab.account().charged.checked_add(cost).unwrap_or(self.tab.reserve).min(self.tab.reserve)
    }

    /// Charges `cost` (at most what was held) and ends the call. Returns the running total.
    pub fn charge(mut self, cost: Credits, receipt_id: &str) -> (Credits, FinishedCall) {
        let cost = cost.min(self.amount);
        let mut account = self.tab.account();
        account.charged = account.charged.checked_add(cost).unwrap_or(self.tab.reserve).min(self.tab.reserve);
        account.requests = account.requests.saturating_add(1);
        release(&mut account, self.amount);
        if let Some(call) = account.calls.get_mut(&self.key) {
            call.outcome = Some(CallOutcome { receipt_id: receipt_id.to_owned(), replay: None });
        }
        let total = account.charged;
        drop(account);
        self.finished = true;
        (total, FinishedCall { tab: Arc::clone(&self.tab), key: self.key.clone() })
    }
}

fn release(account: &mut Account, amount: Credits) {
    account.held = account.held.checked_sub(amount).unwrap_or(Credits::ZERO);
    account.in_flight = account.in_flight.saturating_sub(1);
}

impl Drop for Hold {
    fn drop(&mut self) {
        if !self.finished {
            // Nothing was served under this key, so the client may use it again.
            let mut account = self.tab.account();
            release(&mut account, self.amount);
            account.calls.remove(&self.key);
        }
    }
}

/// A charged call whose answer may be held for replay.
#[derive(Debug)]
pub struct FinishedCall {
    tab: Arc<Tab>,
    key: String,
}

impl FinishedCall {
    /// Holds the answer for repeats, in the room that was taken for it.
    pub fn hold_replay(self, body: Bytes, stream: bool, room: OwnedSemaphorePermit) {
        let mut account = self.tab.account();
        let Some(outcome) = account.calls.get_mut(&self.key).and_then(|call| call.outcome.as_mut()) else { return };
        outcome.replay = Some(Replay { body, stream, _room: Arc::new(room) });
        account.replays.push_back((Instant::now(), self.key));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;
    use crate::limits::REQUESTS_PER_TAB_MAX;

    #[test]
    fn a_tab_that_the_ledger_has_ended_takes_no_more_calls() {
        let (id, key) = ("01".repeat(32).parse().unwrap(), Bytes32([2; 32]));
        let tab = Arc::new(Tab::new(id, key, Credits::new(100).unwrap(), 1, 0));
        let call = |key: &str| tab.hold(key, Sha256Digest([3; 32]), Credits::new(10).unwrap(), REQUESTS_PER_TAB_MAX);
        let served = call("a").unwrap();
        tab.end();
        assert!(*tab.cut.borrow(), "what is being served breaks off");
        assert!(matches!(tab.begin_closing(), Closing::Busy));
        drop(served);
        assert!(matches!(call("b"), Err(CallRefusal::Closed)));
        assert!(matches!(tab.begin_closing(), Closing::Ready));
    }

    /// Whoever settles and hears nothing asks again; meanwhile nothing is served that could not be charged.
    #[test]
    fn a_tab_that_is_being_closed_takes_no_more_calls() {
        let (id, key) = ("01".repeat(32).parse().unwrap(), Bytes32([2; 32]));
        let tab = Arc::new(Tab::new(id, key, Credits::new(100).unwrap(), 1, 0));
        for _ in 0..2 {
            assert!(matches!(tab.begin_closing(), Closing::Ready));
            assert!(matches!(
                tab.hold("a", Sha256Digest([3; 32]), Credits::new(10).unwrap(), REQUESTS_PER_TAB_MAX),
                Err(CallRefusal::Closed)
            ));
        }
    }

    #[test]
    fn one_waits_to_journal_what_is_due_until_nothing_is() {
        let (id, key) = ("01".repeat(32).parse().unwrap(), Bytes32([2; 32]));
        let tab = Tab::new(id, key, Credits::new(100).unwrap(), 1, 0);
        let credits = |amount| Credits::new(amount).unwrap();
        assert!(tab.is_due(credits(10)), "the first waits");
        assert_eq!(tab.next_due(Credits::ZERO), Some(credits(10)));
        assert!(!tab.is_due(credits(30)) && !tab.is_due(credits(20)), "those of meanwhile do not");
        assert_eq!(tab.next_due(credits(10)), Some(credits(30)));
        assert_eq!(tab.next_due(credits(30)), None);
        assert!(tab.is_due(credits(40)), "and then another does");
    }

    #[test]
    fn answers_are_held_for_their_time_and_in_their_room() {
        let (id, key) = ("01".repeat(32).parse().unwrap(), Bytes32([2; 32]));
        let tab = Arc::new(Tab::new(id, key, Credits::new(100).unwrap(), 1, 0));
        let room = Arc::new(Semaphore::new(10));
        let digest = Sha256Digest([3; 32]);
        let call = |key: &str, answer: &'static [u8]| {
            let hold = tab.hold(key, digest, Credits::new(10).unwrap(), REQUESTS_PER_TAB_MAX).unwrap();
            let finished = hold.charge(Credits::new(1).unwrap(), key).1;
            let taken = Arc::clone(&room).try_acquire_many_owned(u32::try_from(answer.len()).unwrap());
            if let Ok(taken) = taken {
                finished.hold_replay(Bytes::from_static(answer), true, taken);
            }
        };
        let replay = |key: &str| match tab.known_call(key, &digest) {
            Some(CallRefusal::Repeat(outcome)) => outcome.replay.map(|replay| replay.body),
            other => panic!("{other:?}"),
        };
        call("a", b"123456");
        call("b", b"12345");
        call("c", b"1234");
        assert_eq!((replay("a").unwrap().len(), replay("b"), replay("c").unwrap().len()), (6, None, 4));
        assert_eq!(room.available_permits(), 0);
        let now = Instant::now();
        tab.forget_replays(now);
        assert!(replay("a").is_some());
        tab.forget_replays(now + REPLAY_HELD);
        assert_eq!((replay("a"), replay("c"), room.available_permits()), (None, None, 10));
        assert_eq!(tab.charged(), Credits::new(3).unwrap(), "a repeat of any is still no new call");
    }
}
