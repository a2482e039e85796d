//! A guardian, as far as money goes: what `enclave/src/{admission,tabs,calls,settlement}.rs` decide, over the same messages,
//! signatures and statements. It keeps nothing when it ends, and every boot has keys of its own.

use std::collections::BTreeMap;

use credits::hash::sha256;
use credits::settlement::SETTLEMENT_VERSION;
use credits::tab::TAB_VERSION;
use credits::{
    Bytes32, JournalRequest, LedgerError, LedgerInfo, Nullifier, OpenTabRequest, OpenTabResponse, PayeeKey,
    RequestHeaders, ReserveRequest, SettleRequest, Settlement, SigningKey, SpendContext, SpendContextInputs,
    SpendPublic, journal_message, settle_message, verify_request,
};

use super::books::{Answer, Call};
use super::line::Line;
use super::op::{INTERVAL_CREDITS_MAX, TIERS};
use super::secrets::Secrets;
use crate::support::{START, TAB_SECS_MAX, credits};

/// How far clocks of client and guardian may be apart (`enclave/src/limits.rs`).
pub(crate) const SIGNATURE_SKEW_SECS_MAX: u64 = 600;
pub(crate) const CALL_PATH: &str = "/v1/chat/completions";

/// A guardian's program that is wrong on purpose, though it counts as honest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GuardianFlaw {
    /// It settles at one credit more than it served.
    ChargesOneMore,
    /// It never journals a running total.
    NeverJournals,
    /// It serves on under a tab that the ledger has ended, or may have.
    ServesForNothing,
    /// It serves a repeated call again, and charges it.
    ChargesRepeats,
}

/// What a client asks.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Open(Box<OpenTabRequest>),
    /// The body says what the engine will make of it: its cost.
    Call {
        tab: Nullifier,
        headers: RequestHeaders,
        body: Vec<u8>,
    },
    Close {
        tab: Nullifier,
        headers: RequestHeaders,
    },
}

impl Request {
    pub(crate) fn tab(&self) -> Nullifier {
        match self {
            Self::Open(request) => request.nullifier,
            Self::Call { tab, .. } | Self::Close { tab, .. } => *tab,
        }
    }
}

/// What it is told.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Opened(OpenTabResponse),
    Served { key: String, cost: u64, total: u64 },
    Settled(Box<Settlement>),
    Refused { status: u16, code: String, key: Option<String> },
}

impl Reply {
    fn refused(status: u16, code: &str) -> Self {
        Self::Refused { status, code: code.to_owned(), key: None }
    }
}

impl From<LedgerError> for Reply {
    fn from(error: LedgerError) -> Self {
        Self::refused(error.http_status(), error.code())
    }
}

/// What was done for a tab; kept by the simulation when the guardian ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Served {
    /// Sent to the client, in credits.
    pub(crate) total: u64,
    /// The last total that the ledger acknowledged.
    pub(crate) journalled: u64,
    /// Sent while the ledger left running totals unanswered, since the last that it acknowledged.
    pub(crate) unanswered: u64,
}

#[derive(Debug)]
struct Tab {
    key: Bytes32,
    reserve: u64,
    not_after: u64,
    entry_index: u64,
    charged: u64,
    journalled: u64,
    /// Idempotency keys with cost and running total.
    calls: BTreeMap<String, (u64, u64)>,
    is_closing: bool,
    /// The ledger has ended the spend.
    is_ended: bool,
    settlement: Option<Settlement>,
}

/// One boot of a guardian.
pub(crate) struct Guardian {
    pub(crate) number: usize,
    pub(crate) boot: u64,
    pub(crate) payee: Bytes32,
    pub(crate) is_hostile: bool,
    pub(crate) clock: u64,
    pub(crate) keyset_digest: Bytes32,
    settle_key: SigningKey,
    price_sheet_digest: Bytes32,
    info: LedgerInfo,
    secrets: Secrets,
    tabs: BTreeMap<Nullifier, Tab>,
    flaw: Option<GuardianFlaw>,
}

/// Something that ended the guardian before it could answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Killed;

impl Guardian {
    pub(crate) fn new(
        number: usize,
        operator: u8,
        is_hostile: bool,
        info: LedgerInfo,
        secrets: Secrets,
        flaw: Option<GuardianFlaw>,
    ) -> Self {
        let payee = payee_key(operator).public();
        let settle_key = SigningKey::from_seed(&[0; 32]);
        let (keyset_digest, price_sheet_digest) = (Bytes32::default(), Bytes32([0x70 + operator; 32]));
        let (boot, clock, tabs) = (0, START, BTreeMap::new());
        let mut guardian = Self {
            number,
            boot,
            payee,
            is_hostile,
            clock,
            keyset_digest,
            settle_key,
            price_sheet_digest,
            info,
            secrets,
            tabs,
            flaw,
        };
        guardian.start();
        guardian
    }

    /// A new boot: new keys, no tabs.
    pub(crate) fn start(&mut self) {
        self.boot += 1;
        let name = sha256(format!("guardian {} boot {}", self.number, self.boot).as_bytes());
        self.settle_key = SigningKey::from_seed(&name.0);
        self.keyset_digest = sha256(&name.0);
        self.tabs.clear();
    }

    /// What wallets bind their spends to.
    pub(crate) fn spend_context(&self, not_after: u64) -> SpendContextInputs {
        SpendContextInputs {
            ledger_id: self.info.ledger_id,
            vk_digest: self.info.vk_digest,
            keyset_digest: self.keyset_digest,
            settle_key: self.settle_key.public(),
            payee: self.payee,
            price_sheet_digest: self.price_sheet_digest,
            not_after,
        }
    }

    /// Answers a request; `killed` names the step before which the guardian ends, 0 for none.
    pub(crate) fn handle(&mut self, request: &Request, line: &mut Line<'_>, killed: u64) -> Result<Reply, Killed> {
        match request {
            Request::Open(request) => self.open_tab(request, line, killed),
            Request::Call { tab, headers, body } => {
                let reply = self.call(*tab, headers, body, line, killed)?;
                let key = Some(headers.idempotency_key.clone());
                Ok(match reply {
                    Reply::Refused { status, code, .. } => Reply::Refused { status, code, key },
                    other => other,
                })
            }
            Request::Close { tab, headers } => {
                let path = close_path(tab);
                match self.authenticate(tab, &path, headers, b"") {
                    Ok(()) => {}
                    Err(reply) => return Ok(reply),
                }
                let settled = self.settle(tab, line);
                if killed > 0 {
                    Err(Killed)
                } else {
                    Ok(settled.map_or_else(|refused| refused, |settled| Reply::Settled(Box::new(settled))))
                }
            }
        }
    }

    fn open_tab(&mut self, request: &OpenTabRequest, line: &mut Line<'_>, killed: u64) -> Result<Reply, Killed> {
        if request.version != TAB_VERSION {
            return Ok(Reply::refused(400, "tab.malformed"));
        }
        if !TIERS.contains(&request.c_max.get()) {
            return Ok(Reply::refused(400, "tab.tier"));
        }
        if request.not_after <= self.clock {
            return Ok(Reply::refused(400, "tab.expired"));
        }
        if request.not_after - self.clock > TAB_SECS_MAX {
            return Ok(Reply::refused(400, "tab.too_long"));
        }
        if let Some(tab) = self.tabs.get(&request.nullifier) {
            return Ok(same_tab(tab, request));
        }
        let context = self.context(request);
        let OpenTabRequest { root, nullifier, inner_next, c_max, proof, .. } = request.clone();
        let public = SpendPublic { root, nullifier, inner_next, c_max, ctx: context.digest(c_max) };
        if self.secrets.open(&public, &proof).is_none() {
            return Ok(Reply::refused(403, "spend.proof_invalid"));
        }
        let reserve = ReserveRequest { root, nullifier, inner_next, c_max, context, proof };
        let entry_index = match line.call(Call::Reserve(Box::new(reserve))) {
            Ok(Answer::Reserved(reservation)) => reservation.entry_index,
            Ok(_) => return Ok(Reply::refused(502, "ledger.answer_mismatch")),
            Err(error) => return Ok(error.into()),
        };
        if killed > 0 {
            return Err(Killed);
        }
        // One in four, by what varies with the schedule: nullifiers are the same in all seeds, for as long as wallets and ledger are.
        if self.is_hostile && request.not_after.is_multiple_of(4) {
            // It says no, and has reserved.
            line.count("misdeed: reserved and refused");
            return Ok(Reply::refused(403, "tab.too_many_calls"));
        }
        let tab = Tab {
            key: request.tab_key,
            reserve: c_max.get(),
            not_after: request.not_after,
            entry_index,
            charged: 0,
            journalled: 0,
            calls: BTreeMap::new(),
            is_closing: false,
            is_ended: false,
            settlement: None,
        };
        Ok(same_tab(self.tabs.entry(nullifier).or_insert(tab), request))
    }

    fn context(&self, request: &OpenTabRequest) -> SpendContext {
        self.spend_context(request.not_after).with_tab_key(request.tab_key)
    }

    fn authenticate(&self, id: &Nullifier, path: &str, headers: &RequestHeaders, body: &[u8]) -> Result<(), Reply> {
        let tab = self.tabs.get(id).ok_or_else(|| Reply::refused(402, "tab.unknown"))?;
        verify_request(&tab.key, "POST", path, headers, body, self.clock, SIGNATURE_SKEW_SECS_MAX)
            .map_err(|rejection| Reply::refused(403, rejection.code()))
    }

    /// Serves in pieces: a piece is sent, then the running total that covers it is journalled.
    fn call(
        &mut self,
        id: Nullifier,
        headers: &RequestHeaders,
        body: &[u8],
        line: &mut Line<'_>,
        killed: u64,
    ) -> Result<Reply, Killed> {
        if let Err(reply) = self.authenticate(&id, CALL_PATH, headers, body) {
            return Ok(reply);
        }
        let (now, flaw) = (self.clock, self.flaw);
        let cost = u64::from(body[0]);
        let Some(tab) = self.tabs.get_mut(&id) else { return Ok(Reply::refused(402, "tab.unknown")) };
        let key = headers.idempotency_key.clone();
        if flaw != Some(GuardianFlaw::ChargesRepeats)
            && let Some((cost, total)) = tab.calls.get(&key).copied()
        {
            line.count("guardian: repeated call");
            return Ok(Reply::Served { key, cost, total });
        }
        if now >= tab.not_after {
            return Ok(Reply::refused(402, "tab.expired"));
        }
        if tab.is_closing || tab.is_ended {
            return Ok(Reply::refused(403, "tab.closed"));
        }
        if cost > tab.reserve - tab.charged {
            return Ok(Reply::refused(402, "tab.insufficient"));
        }
        let (before, mut sent, mut step) = (tab.charged, 0, 0);
        while sent < cost {
            let piece = INTERVAL_CREDITS_MAX.min(cost - sent);
            sent += piece;
            line.served(id).total += piece;
            step += 1;
            if step == killed {
                return Err(Killed);
            }
            if self.journal(&id, before + sent, line) {
                break;
            }
        }
        let Some(tab) = self.tabs.get_mut(&id) else { return Ok(Reply::refused(402, "tab.unknown")) };
        tab.charged = before + sent;
        tab.calls.insert(key.clone(), (sent, tab.charged));
        Ok(Reply::Served { key, cost: sent, total: tab.charged })
    }

    /// Journals a running total. True when the ledger says that the spend has ended.
    fn journal(&mut self, id: &Nullifier, total: u64, line: &mut Line<'_>) -> bool {
        let Some(tab) = self.tabs.get_mut(id) else { return true };
        if total <= tab.journalled || tab.settlement.is_some() || self.flaw == Some(GuardianFlaw::NeverJournals) {
            return false;
        }
        let answer = line.call(Call::Journal(journal_request(&self.settle_key, &self.info, id, total)));
        let served = line.served(*id);
        match answer {
            Ok(_) => {
                tab.journalled = total;
                (served.journalled, served.unanswered) = (total, 0);
            }
            Err(LedgerError::Unavailable) => served.unanswered = served.total - served.journalled,
            Err(_refused) => tab.is_ended = self.flaw != Some(GuardianFlaw::ServesForNothing),
        }
        tab.is_ended
    }

    /// Settles a tab at what was charged; a repeat gives the same settlement.
    fn settle(&mut self, id: &Nullifier, line: &mut Line<'_>) -> Result<Settlement, Reply> {
        let Some(tab) = self.tabs.get_mut(id) else { return Err(Reply::refused(402, "tab.unknown")) };
        if let Some(settlement) = &tab.settlement {
            return Ok(settlement.clone());
        }
        tab.is_closing = true;
        let more = u64::from(self.flaw == Some(GuardianFlaw::ChargesOneMore) && tab.charged < tab.reserve);
        let request = settle_request(&self.settle_key, &self.info, id, tab.charged + more);
        let settled = match line.call(Call::Settle(request)) {
            Ok(Answer::Settled(settled)) => settled,
            Ok(_) => return Err(Reply::refused(502, "ledger.answer_mismatch")),
            Err(error) => {
                if error.retryable() && self.flaw == Some(GuardianFlaw::ServesForNothing) {
                    tab.is_closing = false;
                }
                return Err(error.into());
            }
        };
        let settlement = Settlement {
            version: SETTLEMENT_VERSION.to_owned(),
            ledger_id: self.info.ledger_id,
            nullifier: *id,
            reserve: credits(tab.reserve),
            charge: settled.charge,
            refund: settled.refund,
            leaf: settled.leaf,
            leaf_index: settled.leaf_index,
            entry_index: settled.entry_index,
            requests: u64::try_from(tab.calls.len()).unwrap(),
            keyset_digest: self.keyset_digest,
        };
        tab.settlement = Some(settlement.clone());
        Ok(settlement)
    }

    /// Settles tabs that have ended, and forgets those that are settled or that the ledger has ended otherwise.
    pub(crate) fn expire(&mut self, line: &mut Line<'_>) {
        let ended: Vec<_> =
            self.tabs.iter().filter(|(_, tab)| self.clock >= tab.not_after).map(|(id, _)| *id).collect();
        for id in ended {
            let is_settled = self.tabs[&id].settlement.is_some();
            let is_over = match self.settle(&id, line) {
                Ok(_) => is_settled,
                Err(Reply::Refused { status, .. }) => status != 503,
                Err(_) => false,
            };
            if is_over {
                self.tabs.remove(&id);
            }
        }
    }

    /// Settles every tab, for a graceful stop.
    pub(crate) fn settle_all(&mut self, line: &mut Line<'_>) {
        let open: Vec<_> = self.tabs.keys().copied().collect();
        for id in open {
            // The ledger finalises what could not be settled.
            drop(self.settle(&id, line));
        }
    }

    /// A settlement signed by this boot, whatever it is about.
    pub(crate) fn signs_settle(&self, id: &Nullifier, charge: u64) -> SettleRequest {
        settle_request(&self.settle_key, &self.info, id, charge)
    }

    /// A running total signed by this boot, whatever it is about.
    pub(crate) fn signs_journal(&self, id: &Nullifier, total: u64) -> JournalRequest {
        journal_request(&self.settle_key, &self.info, id, total)
    }
}

/// The key with which an operator claims.
pub(crate) fn payee_key(operator: u8) -> PayeeKey {
    PayeeKey::from_seed(&[0x60 + operator; 32])
}

/// Where a tab is closed.
pub(crate) fn close_path(tab: &Nullifier) -> String {
    format!("/v1/tabs/{tab}/close")
}

fn same_tab(tab: &Tab, request: &OpenTabRequest) -> Reply {
    let same = tab.key == request.tab_key && tab.reserve == request.c_max.get() && tab.not_after == request.not_after;
    if !same {
        return Reply::refused(403, "credits.spend_conflict");
    }
    Reply::Opened(OpenTabResponse {
        tab_id: request.nullifier,
        reserve: request.c_max,
        not_after: tab.not_after,
        entry_index: tab.entry_index,
    })
}

fn journal_request(key: &SigningKey, info: &LedgerInfo, id: &Nullifier, total: u64) -> JournalRequest {
    let total = credits(total);
    JournalRequest { nullifier: *id, total, signature: key.sign(&journal_message(&info.ledger_id, id, total)) }
}

fn settle_request(key: &SigningKey, info: &LedgerInfo, id: &Nullifier, charge: u64) -> SettleRequest {
    let charge = credits(charge);
    SettleRequest { nullifier: *id, charge, signature: key.sign(&settle_message(&info.ledger_id, id, charge)) }
}
