//! The way to the ledger, and what callers check of its answers (as `ledger/client` does).

use std::collections::BTreeMap;

use credits::merkle::verify_inclusion;
use credits::{
    Checkpoint, ClaimRequest, ClaimResponse, LedgerError, LogEntry, MergeRequest, MergeResponse, Nullifier, Recorded,
    Reservation, ReserveRequest, Said, SettleEntry, SettleRequest, SettleResponse, SettledBy, VoidEntry,
};

use super::books::{Answer, Books, Call};
use super::guardian::Served;
use super::invariant::{Invariant, Violation};
use super::op::Link;

/// How often what happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(pub(crate) BTreeMap<String, u64>);

impl Tally {
    pub(crate) fn count(&mut self, what: &str) {
        *self.0.entry(what.to_owned()).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        other.0.iter().for_each(|(what, count)| *self.0.entry(what.clone()).or_default() += count);
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|(what, count)| writeln!(f, "{count:8} {what}"))
    }
}

/// What happened between guardians and clients that no ledger sees.
#[derive(Default)]
pub(crate) struct Facts {
    pub(crate) served: BTreeMap<Nullifier, Served>,
    /// What guardians signed of each spend, whoever heard of it.
    pub(crate) said: BTreeMap<Nullifier, Vec<Said>>,
    /// Calls that are still on their way to the ledger, though nobody waits for them.
    pub(crate) late: Vec<Call>,
    pub(crate) tally: Tally,
    /// The first thing that a caller found wrong.
    pub(crate) found: Option<Violation>,
}

/// A way to the ledger on which the first call meets a fault.
pub(crate) struct Line<'a> {
    pub(crate) books: &'a mut Books,
    pub(crate) facts: &'a mut Facts,
    pub(crate) link: Link,
}

impl Line<'_> {
    pub(crate) fn count(&mut self, what: &str) {
        self.facts.tally.count(what);
    }

    pub(crate) fn served(&mut self, tab: Nullifier) -> &mut Served {
        self.facts.served.entry(tab).or_default()
    }

    /// Makes a call. An answer that is not proved is a violation.
    pub(crate) fn call(&mut self, call: Call) -> Result<Answer, LedgerError> {
        let link = std::mem::replace(&mut self.link, Link::Whole);
        if link != Link::Whole {
            self.count(&format!("link: {link:?}"));
        }
        self.remember_said(&call);
        let answer = match link {
            Link::Whole => self.books.call(call.clone()),
            Link::RequestLost => Err(LedgerError::Unavailable),
            Link::ReplyLost => {
                drop(self.books.call(call.clone()));
                Err(LedgerError::Unavailable)
            }
            Link::RequestTwice => {
                let first = self.books.call(call.clone());
                let second = self.books.call(call.clone());
                self.compare(&first, &second);
                first
            }
            Link::CopyLate => {
                self.facts.late.push(call.clone());
                self.books.call(call.clone())
            }
            Link::RequestLate => {
                self.facts.late.push(call.clone());
                Err(LedgerError::Unavailable)
            }
        };
        if let Ok(answer) = &answer
            && let Err(what) = check(self.books, &call, answer)
        {
            self.find(Invariant::AnswersProved, what);
        }
        answer
    }

    /// What is signed can be known to anybody from now on.
    fn remember_said(&mut self, call: &Call) {
        let said = match call {
            Call::Journal(request) => {
                let (nullifier, total, signature) = (request.nullifier, request.total, request.signature);
                Said::Total { nullifier, total, signature }
            }
            Call::Settle(request) => {
                let (nullifier, charge, signature) = (request.nullifier, request.charge, request.signature);
                Said::Charge { nullifier, charge, signature }
            }
            _ => return,
        };
        let (Said::Total { nullifier, .. } | Said::Charge { nullifier, .. }) = &said else { return };
        let all = self.facts.said.entry(*nullifier).or_default();
        if !all.contains(&said) {
            all.push(said);
        }
    }

    /// What was carried out once is carried out, and said again.
    fn compare(&mut self, first: &Result<Answer, LedgerError>, second: &Result<Answer, LedgerError>) {
        let same = match (first, second) {
            (_, Err(LedgerError::Unavailable)) | (Err(_), _) => true,
            (Ok(first), Ok(second)) => position(first) == position(second),
            (Ok(_), Err(_)) => false,
        };
        if !same {
            self.find(Invariant::RepeatsAgree, format!("{first:?}, then {second:?}"));
        }
    }

    fn find(&mut self, invariant: Invariant, what: String) {
        self.facts.found.get_or_insert(Violation { invariant, what });
    }
}

/// Where the log has what an answer tells of.
fn position(answer: &Answer) -> Option<u64> {
    match answer {
        Answer::Redeemed(redeemed) => redeemed.entries.first().map(|mint| mint.leaf_index),
        Answer::Reserved(reservation) => Some(reservation.entry_index),
        Answer::Journalled => None,
        Answer::Settled(settled) => Some(settled.entry_index),
        Answer::Claimed(claimed) => Some(claimed.entry_index),
        Answer::Merged(merged) => Some(merged.entry_index),
        Answer::Staked(staked) => Some(staked.entry_index),
        Answer::Slashed(slashed) => Some(slashed.entry_index),
        Answer::Rated(rated) => Some(rated.entry_index),
    }
}

fn check(books: &mut Books, call: &Call, answer: &Answer) -> Result<(), String> {
    let signed = |checkpoint: &Checkpoint, books: &Books| {
        checkpoint.verify(&books.info.ledger_key).map_err(|error| error.to_string())
    };
    match (call, answer) {
        (Call::Redeem(request), Answer::Redeemed(redeemed)) => {
            signed(&redeemed.checkpoint, books)?;
            let asked = request.outputs.iter().map(|output| (output.pk, output.value, output.b));
            let minted = redeemed.entries.iter().map(|mint| (mint.pk, mint.value, mint.b));
            asked.eq(minted).then_some(()).ok_or_else(|| "other notes were minted".to_owned())
        }
        (Call::Reserve(request), Answer::Reserved(reservation)) => {
            signed(&reservation.checkpoint, books)?;
            check_reservation(books, request, reservation)
        }
        (Call::Journal(_), Answer::Journalled) => Ok(()),
        (Call::Settle(request), Answer::Settled(settled)) => {
            signed(&settled.checkpoint, books)?;
            check_settlement(request, settled)
        }
        (Call::Claim(request), Answer::Claimed(claimed)) => {
            signed(&claimed.checkpoint, books)?;
            check_claim(request, claimed)
        }
        (Call::Merge(request), Answer::Merged(merged)) => {
            signed(&merged.checkpoint, books)?;
            check_merge(request, merged)
        }
        (Call::Stake(request), Answer::Staked(staked)) => {
            signed(&staked.checkpoint, books)?;
            let is_asked = staked.entry.request() == *request;
            check_logged(staked, LogEntry::Stake(staked.entry.clone()), is_asked)
        }
        (Call::Slash(request), Answer::Slashed(slashed)) => {
            signed(&slashed.checkpoint, books)?;
            let is_asked = slashed.entry.evidence == request.evidence && slashed.entry.reporter == request.reporter;
            check_logged(slashed, LogEntry::Slash(slashed.entry.clone()), is_asked)
        }
        (Call::Rate(request), Answer::Rated(rated)) => {
            signed(&rated.checkpoint, books)?;
            let is_asked = (rated.entry.nullifier, rated.entry.score) == (request.nullifier, request.score);
            check_logged(rated, LogEntry::Rating(rated.entry.clone()), is_asked)
        }
        _ => Err("the answer is to something else".to_owned()),
    }
}

fn check_logged<E>(answer: &Recorded<E>, entry: LogEntry, is_asked: bool) -> Result<(), String> {
    let Recorded { entry_index, inclusion, checkpoint, .. } = answer;
    let logged =
        verify_inclusion(entry.leaf_hash(), *entry_index, checkpoint.log_size, inclusion, &checkpoint.log_root);
    logged.map_err(|_| format!("{entry:?} is not in the log"))?;
    is_asked.then_some(()).ok_or_else(|| format!("{entry:?} was not asked for"))
}

fn check_reservation(books: &mut Books, request: &ReserveRequest, answer: &Reservation) -> Result<(), String> {
    let Reservation { entry_index, inclusion, checkpoint, .. } = answer;
    let holds = |entry: &LogEntry| {
        verify_inclusion(entry.leaf_hash(), *entry_index, checkpoint.log_size, inclusion, &checkpoint.log_root).is_ok()
    };
    if holds(&LogEntry::Reserve(request.entry())) {
        return Ok(());
    }
    // Proved before, under another root or by another proof.
    let Ok(page) = books.log(*entry_index, 1) else { return Ok(()) };
    match page.entries.first() {
        Some(entry @ LogEntry::Reserve(reserved)) => {
            let same = reserved.nullifier == request.nullifier
                && reserved.inner_next == request.inner_next
                && reserved.c_max == request.c_max
                && reserved.context == request.context;
            (same && holds(entry)).then_some(()).ok_or_else(|| "another spend was reserved".to_owned())
        }
        other => Err(format!("the log has {other:?} where the reservation should be")),
    }
}

fn check_settlement(request: &SettleRequest, answer: &SettleResponse) -> Result<(), String> {
    let SettleResponse { nullifier, charge, refund, leaf, leaf_index, entry_index, inclusion, checkpoint } = answer;
    if *nullifier != request.nullifier || *charge != request.charge {
        return Err("another settlement is told of".to_owned());
    }
    let (nullifier, charge, refund, leaf, leaf_index) = (*nullifier, *charge, *refund, *leaf, *leaf_index);
    let settle =
        |by, signature| LogEntry::Settle(SettleEntry { nullifier, charge, refund, leaf_index, leaf, by, signature });
    let candidates = [
        Some(settle(SettledBy::Guardian, Some(request.signature))),
        Some(settle(SettledBy::Ledger, None)),
        charge.is_zero().then_some(LogEntry::Void(VoidEntry { nullifier, refund, leaf_index, leaf })),
    ];
    let is_logged = |entry: LogEntry| {
        verify_inclusion(entry.leaf_hash(), *entry_index, checkpoint.log_size, inclusion, &checkpoint.log_root).is_ok()
    };
    let logged = candidates.into_iter().flatten().any(is_logged);
    logged.then_some(()).ok_or_else(|| "the settlement is not in the log".to_owned())
}

fn check_claim(request: &ClaimRequest, answer: &ClaimResponse) -> Result<(), String> {
    let ClaimResponse { entry, entry_index, inclusion, checkpoint } = answer;
    let leaf = LogEntry::Claim(entry.clone()).leaf_hash();
    let logged = verify_inclusion(leaf, *entry_index, checkpoint.log_size, inclusion, &checkpoint.log_root);
    logged.map_err(|_| "the claim is not in the log".to_owned())?;
    (entry.request() == *request).then_some(()).ok_or_else(|| "another claim is told of".to_owned())
}

fn check_merge(request: &MergeRequest, answer: &MergeResponse) -> Result<(), String> {
    let MergeResponse { entry, entry_index, inclusion, checkpoint } = answer;
    let leaf = LogEntry::Merge(entry.clone()).leaf_hash();
    let logged = verify_inclusion(leaf, *entry_index, checkpoint.log_size, inclusion, &checkpoint.log_root);
    logged.map_err(|_| "the merge is not in the log".to_owned())?;
    let is_asked = request.is_same_merge(&entry.nullifiers, &entry.inner_next) && entry.leaf == request.leaf();
    is_asked.then_some(()).ok_or_else(|| "another merge is told of".to_owned())
}
