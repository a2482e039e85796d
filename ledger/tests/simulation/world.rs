//! A world: everybody, the messages between them, and what a step does to it.

use std::sync::Arc;

use credits::{Bytes32, ClaimRequest, LedgerError, LogPage, MintOutput, Nullifier, Voucher, sign_request};
use tokio::runtime::Runtime;

use super::books::{Answer, Books, Call, LedgerFlaw};
use super::device::{Device, WalletFlaw, choose};
use super::guardian::{CALL_PATH, Guardian, GuardianFlaw, Killed, Reply, Request, close_path};
use super::invariant::{Invariant, Violation};
use super::line::{Facts, Line, Tally};
use super::op::{HOSTILE_GUARDIAN, Link, OPERATORS, OWNERS, Op, Party, Setup, TIERS};
use super::oracle::Oracle;
use super::secrets::Secrets;
use super::withdrawals::HandedOut;
use crate::support::{admin_key, credits};

/// Messages on the way; beyond them the oldest are lost.
const MESSAGES_MAX: usize = 64;
/// Pages that are kept to be shown again.
const PAGES_MAX: usize = 32;
/// Messages that one calm delivers, with those they cause.
const CALM_MAX: usize = 400;

/// A program that is wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    Ledger(LedgerFlaw),
    Guardian(GuardianFlaw),
    Wallet(WalletFlaw),
}

/// Something on the way.
#[derive(Clone, Debug)]
pub(super) enum Message {
    /// To a guardian's boot, from a device's life.
    Request { guardian: usize, boot: u64, device: usize, life: u64, request: Request },
    /// Back.
    Reply { guardian: usize, device: usize, life: u64, tab: Nullifier, reply: Reply },
    /// To the ledger, from a device's life: the first of some claims. Each is sent when the one before it was answered.
    Claims { device: usize, life: u64, claims: Vec<ClaimRequest> },
    /// To the ledger; nobody waits.
    Late(Call),
}

/// A voucher and the notes it was last redeemed for.
#[derive(Clone, Debug)]
pub(super) struct Deposit {
    pub(super) device: usize,
    pub(super) life: u64,
    pub(super) voucher: Voucher,
    pub(super) outputs: Vec<MintOutput>,
    pub(super) is_done: bool,
}

pub(crate) struct World {
    pub(super) setup: Setup,
    pub(super) secrets: Secrets,
    pub(super) books: Books,
    pub(super) guardians: Vec<Guardian>,
    pub(super) devices: Vec<Device>,
    pub(super) oracle: Oracle,
    pub(super) facts: Facts,
    pub(super) messages: Vec<Message>,
    pub(super) deposits: Vec<Deposit>,
    pub(super) pages: Vec<LogPage>,
    /// Texts of withdrawals that their owners handed out.
    pub(super) texts: Vec<HandedOut>,
    /// Claims that a program told its user of.
    pub(super) told: Vec<ClaimRequest>,
    vouchers: u64,
    pub(super) now: u64,
    /// Whether the ledger was asked since it was last looked at.
    pub(super) touched: bool,
    /// The least and the greatest time of the ledger since then.
    pub(super) ledger_times: (u64, u64),
}

impl World {
    pub(crate) fn new(setup: Setup, runtime: Arc<Runtime>, flaw: Option<Flaw>) -> Self {
        let secrets = Secrets::default();
        let ledger_flaw = if let Some(Flaw::Ledger(flaw)) = flaw { Some(flaw) } else { None };
        let guardian_flaw = if let Some(Flaw::Guardian(flaw)) = flaw { Some(flaw) } else { None };
        let wallet_flaw = if let Some(Flaw::Wallet(flaw)) = flaw { Some(flaw) } else { None };
        let on_disk = setup.on_disk.then_some(setup.seed);
        let books = Books::new(runtime, secrets.clone(), on_disk, ledger_flaw);
        let info = books.info.clone();
        let guardian = |(number, operator): (usize, &u8)| {
            let is_hostile = setup.hostile_guardian && number == HOSTILE_GUARDIAN;
            Guardian::new(number, *operator, is_hostile, info.clone(), secrets.clone(), guardian_flaw)
        };
        Self {
            setup,
            guardians: OPERATORS.iter().enumerate().map(guardian).collect(),
            devices: OWNERS.iter().map(|owner| Device::new(*owner, &info, wallet_flaw)).collect(),
            oracle: Oracle::new(&info, secrets.clone()),
            secrets,
            books,
            facts: Facts::default(),
            messages: Vec::new(),
            deposits: Vec::new(),
            pages: Vec::new(),
            texts: Vec::new(),
            told: Vec::new(),
            vouchers: 0,
            now: crate::support::START,
            touched: true,
            ledger_times: (crate::support::START, crate::support::START),
        }
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.facts.tally
    }

    pub(super) fn count(&mut self, what: &str) {
        self.facts.tally.count(what);
    }

    pub(super) fn line(&mut self, link: Link) -> Line<'_> {
        self.touched = true;
        Line { books: &mut self.books, facts: &mut self.facts, link }
    }

    /// Takes a step.
    pub(crate) fn step(&mut self, op: &Op) -> Result<(), Violation> {
        self.count(op.name());
        match *op {
            Op::Deposit { device, value, notes, link } => self.deposit(device, value, notes, link)?,
            Op::RetryDeposit { device, link } => {
                let open = |(_, deposit): &(usize, &Deposit)| deposit.device == device && !deposit.is_done;
                if let Some((at, _)) = self.deposits.iter().enumerate().find(open) {
                    self.redeem(at, link)?;
                }
            }
            Op::Sync { device, limit, link } => self.sync(device, limit, link)?,
            Op::Open { device, guardian, tier, life } => self.open(device, guardian, tier, life)?,
            Op::Resend { device, pick } => {
                if let Some((request, context)) = self.devices[device].resend(&self.secrets, pick) {
                    let same = |guardian: &&Guardian| guardian.keyset_digest == context.keyset_digest;
                    if let Some(guardian) = self.guardians.iter().find(same).map(|guardian| guardian.number) {
                        self.count("wallet: pending spend sent again");
                        self.send(device, guardian, Request::Open(Box::new(request)));
                    }
                }
            }
            Op::Call { device, pick, cost } => self.client_call(device, pick, Some(cost)),
            Op::Repeat { device, pick } => self.client_call(device, pick, None),
            Op::Close { device, pick } => self.close(device, pick),
            Op::Deliver { pick, link, killed } => {
                if let Some(at) = self.pick_message(pick) {
                    let message = self.messages.remove(at);
                    self.deliver(message, link, killed)?;
                }
            }
            Op::DeliverCopy { pick } => {
                if let Some(at) = self.pick_message(pick) {
                    let message = match self.messages[at].clone() {
                        // Who waits, waits for the answer to the other.
                        Message::Claims { claims, .. } => Message::Late(Call::Claim(claims[0].clone())),
                        message => message,
                    };
                    if let Message::Request { device, request, .. } = &message {
                        self.devices[*device].becomes_unsure(request.tab());
                    }
                    self.count("network: copy");
                    self.deliver(message, Link::Whole, 0)?;
                }
            }
            Op::Drop { pick } => {
                if let Some(at) = self.pick_message(pick) {
                    let dropped = self.messages.remove(at);
                    self.count(match dropped {
                        Message::Request { .. } => "network: request dropped",
                        Message::Reply { .. } => "network: reply dropped",
                        Message::Claims { .. } => "network: claim dropped",
                        Message::Late(_) => "network: late call dropped",
                    });
                }
            }
            Op::Calm { link } => self.calm(link)?,
            Op::Pass { secs } => self.pass(secs),
            Op::Jump { party, secs } => self.jump(party, secs),
            Op::Restore { device, from } => {
                self.count(&format!("restore: {from:?}"));
                let pick = usize::try_from(self.vouchers).unwrap();
                self.devices[device].restore(from, pick)?;
            }
            Op::Reboot { guardian, gracefully, link } => self.reboot(guardian, gracefully, link),
            Op::Expire { guardian, link } => {
                self.touched = true;
                let mut line = Line { books: &mut self.books, facts: &mut self.facts, link };
                self.guardians[guardian].expire(&mut line);
            }
            Op::Finalise => {
                self.touched = true;
                let ended = self.books.finalise().unwrap_or(0);
                for _ in 0..ended {
                    self.count("ledger: finalised");
                }
            }
            Op::Fail { syncs } => self.books.fail(syncs),
            Op::Start { syncs } => {
                if self.books.is_down() {
                    self.touched = true;
                    self.books.start(syncs);
                    self.count(if self.books.is_down() { "ledger: failed start" } else { "ledger: start" });
                }
            }
            Op::Misbehave { pick, misdeed } => self.misbehave(pick, misdeed)?,
            Op::Cheat { fraud, pick } => self.cheat(fraud, pick)?,
            Op::Claim { operator, pick, part, notes, is_killed } => {
                self.claim(operator, pick, (part, notes), is_killed)?;
            }
            Op::Misclaim { wrong, pick } => self.misclaim(wrong, pick)?,
            Op::Withdraw { device, amount, life, cut, links } => self.withdraw(device, amount, life, cut, links)?,
            Op::ListWithdrawals { device, link } => self.list_withdrawals(device, link)?,
            Op::DepositWithdrawal { device, pick, notes, is_killed } => {
                self.deposit_withdrawal(device, pick, notes, is_killed)?;
            }
            Op::PayInto { device, pick, amount } => self.pay_into(device, pick, amount)?,
            Op::Merge { device, needed, meanwhile, link } => self.merge(device, needed, meanwhile, link)?,
            Op::GiveUpMerges { device } => self.give_up_merges(device),
            Op::Stake { operator, staking, link } => self.stake(operator, staking, link)?,
            Op::Accuse { pick, link } => self.accuse(pick, link)?,
            Op::Slander { pick } => self.slander(pick)?,
            Op::Rate { device, pick, score, link } => self.rate(device, pick, score, link)?,
            Op::ShowOld { device, pick } => self.show_old(device, pick)?,
            Op::ShowFork { device, pick } => self.show_fork(device, pick)?,
        }
        self.messages.extend(self.facts.late.drain(..).map(Message::Late));
        let excess = self.messages.len().saturating_sub(MESSAGES_MAX);
        self.messages.drain(..excess);
        if self.books.is_down() {
            self.count("step: the ledger is down");
        }
        self.check()
    }

    fn pick_message(&self, pick: u64) -> Option<usize> {
        let count = u64::try_from(self.messages.len()).unwrap();
        pick.checked_rem(count).map(|at| usize::try_from(at).unwrap())
    }

    fn deposit(&mut self, device: usize, value: u64, notes: u32, link: Link) -> Result<(), Violation> {
        let Some(outputs) = self.devices[device].deposit(value, notes) else { return Ok(()) };
        self.vouchers += 1;
        let mut id = Bytes32::default();
        id.0[..8].copy_from_slice(&self.vouchers.to_be_bytes());
        let voucher = Voucher::issue(&admin_key(), self.books.info.ledger_id, id, credits(value));
        let Device { owner, life, .. } = self.devices[device];
        self.oracle.issued(id, owner, value);
        self.deposits.push(Deposit { device, life, voucher, outputs, is_done: false });
        self.redeem(self.deposits.len() - 1, link)
    }

    /// Redeems a voucher; a device that started again asks for other notes.
    pub(super) fn redeem(&mut self, at: usize, link: Link) -> Result<(), Violation> {
        let Deposit { device, life, voucher, outputs, .. } = self.deposits[at].clone();
        let (owner, present) = (self.devices[device].owner, self.devices[device].life);
        let count = u32::try_from(outputs.len()).unwrap();
        let fresh = (life != present).then(|| self.devices[device].deposit(voucher.value.get(), count)).flatten();
        let outputs = fresh.unwrap_or(outputs);
        (self.deposits[at].life, self.deposits[at].outputs) = (present, outputs.clone());
        outputs.iter().for_each(|output| self.secrets.owns(owner, output.pk));
        let call = Call::Redeem(credits::RedeemRequest { voucher: voucher.to_text(), outputs });
        match self.line(link).call(call) {
            Ok(Answer::Redeemed(redeemed)) => {
                self.deposits[at].is_done = true;
                let observed = self.devices[device].observe(&redeemed.checkpoint);
                Invariant::ViewsOnlyGrow.require(observed.is_ok(), || format!("{observed:?} after a deposit"))
            }
            Err(LedgerError::VoucherUsed) => {
                self.count("deposit: was redeemed for other notes");
                self.deposits[at].is_done = true;
                Ok(())
            }
            Err(LedgerError::Unavailable) => Ok(()),
            other => Err(Invariant::AnswersProved.violated(format!("a voucher is answered {other:?}"))),
        }
    }

    pub(super) fn sync(&mut self, device: usize, limit: u32, link: Link) -> Result<(), Violation> {
        if matches!(link, Link::RequestLost | Link::ReplyLost | Link::RequestLate) {
            return Ok(());
        }
        // Within a step that made calls before: what they did is judged by who knows all, before a wallet judges it.
        if self.touched && !self.books.is_down() {
            self.look()?;
        }
        let Ok(page) = self.books.log(self.devices[device].wallet().next_entry(), limit) else { return Ok(()) };
        let applied = self.devices[device].apply(&page);
        Invariant::ViewsOnlyGrow.require(applied.is_ok(), || format!("the ledger's own page: {applied:?}"))?;
        if applied.is_ok_and(|progress| progress.remaining > 0) {
            self.count("wallet: read a part");
        }
        if self.pages.len() == PAGES_MAX {
            self.pages.remove(0);
        }
        self.pages.push(page);
        Ok(())
    }

    fn open(&mut self, device: usize, guardian: usize, tier: usize, life: u64) -> Result<(), Violation> {
        let not_after = self.devices[device].clock.saturating_add(life);
        let inputs = self.guardians[guardian].spend_context(not_after);
        let opened = self.devices[device].open(&self.secrets, TIERS[tier], inputs)?;
        match opened {
            Some(request) => {
                self.count("wallet: spend sent");
                self.send(device, guardian, Request::Open(Box::new(request)));
            }
            None => self.count("wallet: nothing to spend"),
        }
        Ok(())
    }

    pub(super) fn send(&mut self, device: usize, guardian: usize, request: Request) {
        let (boot, life) = (self.guardians[guardian].boot, self.devices[device].life);
        self.messages.push(Message::Request { guardian, boot, device, life, request });
    }

    /// The guardian boot that a tab is at, if it still runs.
    fn guardian_of(&self, tab: &Nullifier) -> Option<usize> {
        let keyset = self.oracle.spends.get(tab)?.context.keyset_digest;
        self.guardians.iter().position(|guardian| guardian.keyset_digest == keyset)
    }

    fn client_call(&mut self, device: usize, pick: u64, cost: Option<u64>) {
        let Some(tab) = choose(&self.devices[device].open_tabs(), pick).copied() else { return };
        let Some(guardian) = self.guardian_of(&tab) else { return };
        let Some((key, cost)) = self.devices[device].begin_call(tab, cost) else { return };
        let body = vec![u8::try_from(cost).unwrap()];
        let Device { clock, .. } = self.devices[device];
        let headers = sign_request(&self.devices[device].tab_key(tab), "POST", CALL_PATH, &tab, &key, &body, clock);
        self.send(device, guardian, Request::Call { tab, headers, body });
    }

    fn close(&mut self, device: usize, pick: u64) {
        let Some(tab) = choose(&self.devices[device].closable(), pick).copied() else { return };
        let Some(guardian) = self.guardian_of(&tab) else { return };
        let (key, clock) = (self.devices[device].tab_key(tab), self.devices[device].clock);
        let headers = sign_request(&key, "POST", &close_path(&tab), &tab, "close", b"", clock);
        self.send(device, guardian, Request::Close { tab, headers });
    }

    fn deliver(&mut self, message: Message, link: Link, killed: u64) -> Result<(), Violation> {
        match message {
            Message::Request { guardian, boot, device, life, request } => {
                if self.guardians[guardian].boot != boot {
                    // Its keys are gone: nobody can read it, and nobody answers.
                    self.count("network: the guardian's boot is gone");
                    return Ok(());
                }
                self.touched = true;
                let mut line = Line { books: &mut self.books, facts: &mut self.facts, link };
                match self.guardians[guardian].handle(&request, &mut line, killed) {
                    Ok(reply) => {
                        self.messages.push(Message::Reply { guardian, device, life, tab: request.tab(), reply });
                    }
                    Err(Killed) => {
                        self.count("guardian: killed at work");
                        self.guardians[guardian].start();
                    }
                }
                Ok(())
            }
            Message::Reply { guardian, device, life, tab, reply } => {
                if self.devices[device].life != life {
                    self.count("network: nobody waits for the reply");
                    return Ok(());
                }
                self.answered(guardian, device, tab, reply)
            }
            Message::Claims { device, life, claims } => self.claims_arrive(device, life, claims, link, killed > 0),
            Message::Late(call) => {
                self.count("network: late call");
                if matches!(call, Call::Claim(_)) {
                    self.count("network: late claim");
                }
                drop(self.line(Link::Whole).call(call));
                Ok(())
            }
        }
    }

    fn answered(&mut self, guardian: usize, device: usize, tab: Nullifier, reply: Reply) -> Result<(), Violation> {
        match reply {
            Reply::Opened(opened) => {
                self.count("tab: opened");
                self.devices[device].opened(opened.tab_id);
            }
            Reply::Served { key, cost, total } => {
                self.count("tab: served");
                self.devices[device].receipted(tab, &key, cost, total);
            }
            Reply::Settled(settlement) => {
                self.count("tab: settled");
                if let Some(what) = self.devices[device].settled(&settlement) {
                    self.count("tab: settlement disputed");
                    // Of a settlement that this step made, who knows what was served judges first.
                    if self.touched && !self.books.is_down() {
                        self.look()?;
                        self.check_guardians()?;
                    }
                    let is_honest = !self.guardians[guardian].is_hostile;
                    Invariant::SettlementsExplained.require(!is_honest, || what)?;
                }
            }
            Reply::Refused { status, code, key } => {
                self.count(&format!("refused: {code}"));
                let is_open = self.devices[device].open_tabs().contains(&tab);
                if let Some(key) = key {
                    self.devices[device].call_refused(tab, &key, status);
                } else if !is_open && self.devices[device].not_opened(tab, status, &code) {
                    self.count("wallet: note freed by a refusal");
                }
            }
        }
        Ok(())
    }

    pub(super) fn calm(&mut self, link: Link) -> Result<(), Violation> {
        let mut link = Some(link);
        for _ in 0..CALM_MAX {
            if self.messages.is_empty() {
                break;
            }
            let message = self.messages.remove(0);
            let is_request = matches!(message, Message::Request { .. } | Message::Claims { .. });
            let link = link.take_if(|_| is_request).unwrap_or(Link::Whole);
            self.deliver(message, link, 0)?;
            self.messages.extend(self.facts.late.drain(..).map(Message::Late));
        }
        Ok(())
    }

    pub(super) fn pass(&mut self, secs: u64) {
        self.now += secs;
        self.set_ledger_clock(ledger::Clock::now(&*self.books.clock) + secs);
        self.guardians.iter_mut().for_each(|guardian| guardian.clock += secs);
        self.devices.iter_mut().for_each(|device| device.clock += secs);
    }

    fn set_ledger_clock(&mut self, now: u64) {
        self.books.clock.set(now);
        let (from, to) = self.ledger_times;
        // What was looked at since was made before.
        self.ledger_times = if self.touched { (from.min(now), to.max(now)) } else { (now, now) };
    }

    fn jump(&mut self, party: Party, secs: i64) {
        self.count(match party {
            Party::Ledger => "clock: ledger",
            Party::Guardian(_) => "clock: guardian",
            Party::Device(_) => "clock: device",
        });
        match party {
            Party::Ledger => {
                let now = ledger::Clock::now(&*self.books.clock);
                self.set_ledger_clock(now.saturating_add_signed(secs));
            }
            Party::Guardian(at) => self.guardians[at].clock = self.guardians[at].clock.saturating_add_signed(secs),
            Party::Device(at) => self.devices[at].clock = self.devices[at].clock.saturating_add_signed(secs),
        }
    }

    fn reboot(&mut self, guardian: usize, gracefully: bool, link: Link) {
        if gracefully {
            self.touched = true;
            let mut line = Line { books: &mut self.books, facts: &mut self.facts, link };
            self.guardians[guardian].settle_all(&mut line);
            self.count("guardian: stopped");
        } else {
            self.count("guardian: killed");
        }
        self.guardians[guardian].start();
    }
}
