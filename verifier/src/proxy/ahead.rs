//! The proof of the next tab's spend, made while nobody waits for it.

use std::time::Duration;

use credits::Credits;
use credits::offer::Offer;
use tokio::time::Instant;

use super::keeper::{Keeper, Log, State};
use crate::error::chain;
use crate::estimate::usual_cost;
use crate::payment::{AheadProgress, Amount, PaymentError};
use crate::session::Session;

/// Without a word from the user, a tab is opened for this many requests like the first one.
const WISH_REQUESTS: u64 = 8;
/// How often it is looked whether the proof that is ready is still the one that would be made now.
const AHEAD_EVERY: Duration = Duration::from_secs(60);
/// Where tabs are so short that their ends change more often, it is looked this often only: a node must not keep its clients busy.
const AHEAD_EVERY_MIN: Duration = Duration::from_secs(30);
/// A proxy that was not used for this long has no proof ready.
const AHEAD_UNUSED_MAX: Duration = Duration::from_secs(3600);

/// What a tab for a request that costs `need` is opened for.
pub(super) fn wish_for(reserve: Option<Credits>, need: Credits) -> Amount {
    Amount { need, wish: reserve.or_else(|| need.checked_mul(WISH_REQUESTS)).unwrap_or(need) }
}

/// What is to be proved, when it is looked after, and what was said of it.
pub(super) struct Plan {
    /// What the next tab will be opened for, as far as one can tell.
    next: Amount,
    at: Instant,
    said: Option<AheadProgress>,
    /// The code of what was in the way last.
    failed: Option<String>,
}

impl Plan {
    /// Before there was any request.
    pub(super) fn new(reserve: Option<Credits>, offer: &Offer) -> Self {
        let next = match reserve {
            Some(reserve) => Amount { need: Credits::ZERO, wish: reserve },
            None => wish_for(None, usual_cost(offer).unwrap_or(Credits::ZERO)),
        };
        Self { next, at: Instant::now(), said: None, failed: None }
    }

    /// A tab was opened, or was to be: the next will be for as much.
    pub(super) fn used(&mut self, amount: Amount) {
        (self.next, self.said) = (amount, None);
        self.look();
    }

    /// Something may have changed what would be proved.
    pub(super) fn look(&mut self) {
        self.at = Instant::now();
    }

    fn say(&mut self, progress: AheadProgress, log: &Log) {
        if self.said.replace(progress) == Some(progress) {
            return;
        }
        match progress {
            AheadProgress::Unasked => {}
            AheadProgress::NoNote => log("no free note is large enough to prove the next tab's spend ahead of time"),
            AheadProgress::Proving(amount) => log(&format!("proving ahead: a tab of {amount} credits")),
            AheadProgress::Ready(amount) => log(&format!("proved ahead: a tab of {amount} credits")),
        }
    }

    /// Nobody waits for a proof, and whatever is wrong is wrong when a tab is opened. A ledger that contradicts itself is told of now.
    fn tell(&mut self, outcome: &Result<Duration, PaymentError>, log: &Log) {
        if let Ok(fresh) = outcome {
            self.at = self.at.min(Instant::now() + (*fresh).max(AHEAD_EVERY_MIN));
        }
        let code = outcome.as_ref().err().map(|error| error.code().to_owned());
        if let Err(error) = outcome
            && self.failed != code
        {
            log(&format!("the next tab's spend is not proved ahead: {}", chain(error)));
        }
        self.failed = code;
    }
}

impl Keeper {
    /// Has the next tab's spend proved, or proved anew when another would be made now, and says how far it is. Requests that have a
    /// tab do not wait for what it asks the ledger.
    pub(crate) async fn prove_ahead(&self) {
        if self.condemned.get().is_some() {
            return;
        }
        let due = self.state.lock().await.due();
        let (progress, outcome) = {
            let mut payer = self.payer.lock().await;
            let outcome = match &due {
                Some((session, amount)) => Some(payer.prove_ahead(session, *amount).await),
                None => None,
            };
            (payer.ahead(), outcome)
        };
        let plan = &mut self.state.lock().await.plan;
        plan.say(progress, &self.config.log);
        if let Some(outcome) = outcome {
            plan.tell(&outcome, &self.config.log);
        }
    }
}

impl State {
    /// What to prove now, and where it would be spent.
    fn due(&mut self) -> Option<(Session, Amount)> {
        let session = self.session.as_ref().filter(|session| !session.is_closed())?;
        let now = Instant::now();
        if now < self.plan.at || self.last_used.elapsed() >= AHEAD_UNUSED_MAX {
            return None;
        }
        self.plan.at = now + AHEAD_EVERY;
        Some((session.clone(), self.plan.next))
    }
}
