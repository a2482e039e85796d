//! An oracle: a wallet and a guardian that know every secret, and the ledger's rules written a second time.
//!
//! It plans requests from actions, says what the ledger must answer, and afterwards audits the log: every credit that was
//! minted is in a note that exists, reserved, or charged.

use std::collections::{BTreeMap, BTreeSet};

use credits::{
    Blind, Bytes32, ClaimRequest, Credits, Fe, JournalRequest, Ledger, LedgerError, LedgerInfo, LogEntry, LogFrontier,
    MergeRequest, MintOutput, Note, NoteTree, Nullifier, RatingRequest, RedeemRequest, ReserveRequest, SettleRequest,
    SlashRequest, SpendContext, SpendKey, StakeRequest, Voucher,
};

use super::stakes::{Stakes, Standing, tab_key};
use super::{GRACE_SECS, TAB_SECS_MAX, admin_key, credits, good_proof, journal, payee_key, settle, settle_key};

/// A step of a schedule. Numbers are reduced to what exists when the step is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    /// Redeem a voucher for this many notes.
    Mint { value: u64, notes: u8 },
    /// Spend some live note.
    Reserve { note: usize, c_max: u64 },
    /// Send some earlier reservation again.
    Repeat { spend: usize },
    /// Send some earlier reservation with another tab key.
    Conflict { spend: usize },
    /// Journal a total, perhaps a wrong one.
    Journal { spend: usize, total: u64 },
    /// Settle, perhaps at a wrong charge.
    Settle { spend: usize, charge: u64 },
    /// Claim some of what is owed, perhaps too much, perhaps with a number that is not the next.
    Claim { value: u64, before: u64 },
    /// Send the last claim again.
    RepeatClaim,
    /// Merge two live notes, or one with itself.
    Merge { first: usize, second: usize },
    /// Send the last merge again, or the other way round.
    RepeatMerge { swapped: bool },
    /// Something about stakes or ratings.
    Standing(Standing),
    /// Let time pass.
    Advance { secs: u64 },
    /// End what is overdue.
    Finalise,
}

/// What to send.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Redeem(RedeemRequest),
    Reserve(Box<ReserveRequest>),
    Journal(JournalRequest),
    Settle(SettleRequest),
    Claim(Box<ClaimRequest>),
    Merge(Box<MergeRequest>),
    Stake(Box<StakeRequest>),
    Slash(Box<SlashRequest>),
    Rate(RatingRequest),
    Finalise,
}

/// A ledger that can be told to end what is overdue.
pub(crate) trait Finalise: Ledger {
    fn finalise(&self) -> impl Future<Output = Result<usize, LedgerError>> + Send;
}

impl<B: ledger::storage::Backend> Finalise for ledger::StoredLedger<B> {
    fn finalise(&self) -> impl Future<Output = Result<usize, LedgerError>> + Send {
        self.finalise_overdue()
    }
}

/// Sends a call; of the answer only refusals matter, the audit sees the rest.
pub(crate) async fn send<L: Finalise>(ledger: &L, call: Call) -> Result<(), LedgerError> {
    match call {
        Call::Finalise => ledger.finalise().await.map(|_| ()),
        call => send_plain(ledger, call).await,
    }
}

/// The same for ledgers that end what is overdue in their own time.
pub(crate) async fn send_plain<L: Ledger>(ledger: &L, call: Call) -> Result<(), LedgerError> {
    match call {
        Call::Redeem(request) => ledger.redeem(request).await.map(|_| ()),
        Call::Reserve(request) => ledger.reserve(*request).await.map(|_| ()),
        Call::Journal(request) => ledger.journal(request).await,
        Call::Settle(request) => ledger.settle(request).await.map(|_| ()),
        Call::Claim(request) => ledger.claim(*request).await.map(|_| ()),
        Call::Merge(request) => ledger.merge(*request).await.map(|_| ()),
        Call::Stake(request) => ledger.stake(*request).await.map(|_| ()),
        Call::Slash(request) => ledger.slash(*request).await.map(|_| ()),
        Call::Rate(request) => ledger.rate(request).await.map(|_| ()),
        Call::Finalise => Ok(()),
    }
}

struct Spend {
    request: ReserveRequest,
    /// What the successor holds in secret.
    value_next: u64,
    blind_next: Blind,
    journalled: Option<u64>,
    /// The charge, once the spend has ended.
    charged: Option<u64>,
}

pub(crate) struct Oracle {
    info: LedgerInfo,
    key: SpendKey,
    now: u64,
    tree: NoteTree,
    live: Vec<Note>,
    spends: Vec<Spend>,
    vouchers: u64,
    mints: u64,
    minted: u64,
    charged: u64,
    claimed: u64,
    claims: u64,
    last_claim: Option<ClaimRequest>,
    last_merge: Option<MergeRequest>,
    merges: u64,
    stakes: Stakes,
}

impl Oracle {
    pub(crate) fn new(info: LedgerInfo, now: u64) -> Self {
        let key = SpendKey::from_secret(Fe::from(42));
        let (tree, live, spends) = (NoteTree::new(), Vec::new(), Vec::new());
        let (minted, charged, claimed, claims, last_claim) = (0, 0, 0, 0, None);
        let (vouchers, mints, merges, last_merge) = (0, 0, 0, None);
        Self {
            info,
            key,
            now,
            tree,
            live,
            spends,
            vouchers,
            mints,
            minted,
            charged,
            claimed,
            claims,
            last_claim,
            last_merge,
            merges,
            stakes: Stakes::default(),
        }
    }

    /// The call of an action and the answer the ledger owes; nothing when there is nothing to do it to. The oracle takes the
    /// answer as given from here on.
    pub(crate) fn plan(&mut self, action: Action) -> Option<(Call, Result<(), LedgerError>)> {
        match action {
            Action::Mint { value, notes } => Some((self.mint(value, notes), Ok(()))),
            Action::Reserve { note, c_max } => Some((self.reserve(note, c_max)?, Ok(()))),
            Action::Repeat { spend } => {
                let request = self.pick(spend)?.request.clone();
                Some((Call::Reserve(Box::new(request)), Ok(())))
            }
            Action::Conflict { spend } => {
                let mut request = self.pick(spend)?.request.clone();
                request.context.tab_key.0[31] ^= 1;
                Some((Call::Reserve(Box::new(request)), Err(LedgerError::SpendConflict)))
            }
            Action::Journal { spend, total } => {
                let at = self.index(spend)?;
                let total = total % (self.spends[at].request.c_max.get() + 2);
                let call = Call::Journal(journal(&self.info, &self.spends[at].request.nullifier, total));
                Some((call, self.journal(at, total)))
            }
            Action::Settle { spend, charge } => {
                let at = self.index(spend)?;
                let charge = charge % (self.spends[at].request.c_max.get() + 2);
                let call = Call::Settle(settle(&self.info, &self.spends[at].request.nullifier, charge));
                Some((call, self.settle(at, charge)))
            }
            Action::Claim { value, before } => Some(self.claim(value, before)),
            Action::RepeatClaim => Some((Call::Claim(Box::new(self.last_claim.clone()?)), Ok(()))),
            Action::Merge { first, second } => self.merge(first, second),
            Action::RepeatMerge { swapped } => {
                let mut request = self.last_merge.clone()?;
                if swapped {
                    request.nullifiers.swap(0, 1);
                }
                let expected = if swapped { Err(LedgerError::SpendConflict) } else { Ok(()) };
                Some((Call::Merge(Box::new(request)), expected))
            }
            Action::Standing(Standing::Rate { spend, score }) => {
                let spend = &self.spends[self.index(spend)?];
                let (nullifier, charged) = (spend.request.nullifier, spend.charged);
                Some(self.stakes.rate(&self.info, nullifier, charged, score))
            }
            Action::Standing(step) => {
                let owed = self.owed();
                self.stakes.plan(step, &self.info, owed, self.now)
            }
            Action::Advance { secs } => {
                self.now += secs;
                None
            }
            Action::Finalise => {
                self.finalise();
                Some((Call::Finalise, Ok(())))
            }
        }
    }

    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    /// What the payee is owed.
    fn owed(&self) -> u64 {
        self.charged - self.claimed - self.stakes.staked - self.stakes.burnt
    }

    fn index(&self, number: usize) -> Option<usize> {
        number.checked_rem(self.spends.len())
    }

    fn pick(&self, number: usize) -> Option<&Spend> {
        self.spends.get(self.index(number)?)
    }

    fn mint(&mut self, value: u64, notes: u8) -> Call {
        let notes = u64::from(notes % 3) + 1;
        let each = value % 1_000 + 1;
        self.vouchers += 1;
        let mut outputs = Vec::new();
        for lane in 0..notes {
            let (b, rho) = (Fe::from(self.mints + 7), credits::note::mint_rho(self.info.ledger_id, self.mints));
            let note = Note { lane, value: credits(each), rho, blind: Blind(b), refund: Credits::ZERO };
            outputs.push(MintOutput { pk: self.key.public_key(lane), value: note.value, b });
            self.mints += 1;
            self.append(note);
        }
        self.minted += each * notes;
        let mut id = Bytes32::default();
        id.0[..8].copy_from_slice(&self.vouchers.to_be_bytes());
        let voucher = Voucher::issue(&admin_key(), self.info.ledger_id, id, credits(each * notes));
        Call::Redeem(RedeemRequest { voucher: voucher.to_text(), outputs })
    }

    /// One in four has a wrong number, and one in a few asks for more than there is.
    fn claim(&mut self, value: u64, before: u64) -> (Call, Result<(), LedgerError>) {
        let left = self.owed();
        let value = value % (left + left / 4 + 2) + 1;
        let stale = before % 4 == 3;
        let claim_seq = if stale { self.claims + 1 } else { self.claims };
        let (b, rho) = (Fe::from(self.mints + 7), credits::note::mint_rho(self.info.ledger_id, self.mints));
        let output = MintOutput { pk: self.key.public_key(0), value: credits(value), b };
        let request = ClaimRequest::sign(&payee_key(), &self.info.ledger_id, claim_seq, output);
        let call = Call::Claim(Box::new(request.clone()));
        if stale {
            return (call, Err(LedgerError::ClaimStale));
        }
        if value > left {
            return (call, Err(LedgerError::ClaimAboveCharges));
        }
        self.mints += 1;
        self.claimed += value;
        self.claims += 1;
        self.last_claim = Some(request);
        self.append(Note { lane: 0, value: credits(value), rho, blind: Blind(b), refund: Credits::ZERO });
        (call, Ok(()))
    }

    fn merge(&mut self, first: usize, second: usize) -> Option<(Call, Result<(), LedgerError>)> {
        let (first, second) = (first.checked_rem(self.live.len())?, second.checked_rem(self.live.len())?);
        let (note, other) = (self.live[first].clone(), self.live[second].clone());
        let value = note.balance().unwrap().checked_add(other.balance().unwrap()).unwrap();
        let nullifiers = [note.nullifier(&self.key), other.nullifier(&self.key)];
        let blind = Blind(Fe::from(2_000_000 + self.merges));
        let merged = Note { lane: note.lane, value, rho: nullifiers[0].0, blind, refund: Credits::ZERO };
        let inner_next = credits::note::inner(note.public_key(&self.key), value, nullifiers[0].0, blind);
        let request = MergeRequest { root: self.tree.root(), nullifiers, inner_next, proof: good_proof() };
        let call = Call::Merge(Box::new(request.clone()));
        if first == second {
            return Some((call, Err(LedgerError::MergeOneNote)));
        }
        for at in [first.max(second), first.min(second)] {
            self.live.swap_remove(at);
        }
        self.merges += 1;
        self.last_merge = Some(request);
        self.append(merged);
        Some((call, Ok(())))
    }

    fn append(&mut self, note: Note) {
        self.tree.append(note.leaf(&self.key)).unwrap();
        self.live.push(note);
    }

    fn reserve(&mut self, note: usize, c_max: u64) -> Option<Call> {
        let at = note.checked_rem(self.live.len())?;
        let balance = self.live[at].balance().unwrap().get();
        let c_max = (c_max % balance.max(1)) + 1;
        let value_next = balance.checked_sub(c_max)?;
        let root = self.tree.root();
        let note = self.live.swap_remove(at);
        let blind_next = Blind(Fe::from(1_000_000 + u64::try_from(self.spends.len()).unwrap()));
        let nullifier = note.nullifier(&self.key);
        let inner_next = credits::note::inner(note.public_key(&self.key), credits(value_next), nullifier.0, blind_next);
        let request = ReserveRequest {
            root,
            nullifier,
            inner_next,
            c_max: credits(c_max),
            context: SpendContext {
                ledger_id: self.info.ledger_id,
                vk_digest: self.info.vk_digest,
                keyset_digest: Bytes32([5; 32]),
                settle_key: settle_key().public(),
                payee: payee_key().public(),
                price_sheet_digest: Bytes32([7; 32]),
                not_after: self.now + TAB_SECS_MAX,
                tab_key: tab_key().public(),
            },
            proof: good_proof(),
        };
        let call = Call::Reserve(Box::new(request.clone()));
        self.spends.push(Spend { request, value_next, blind_next, journalled: None, charged: None });
        Some(call)
    }

    fn journal(&mut self, at: usize, total: u64) -> Result<(), LedgerError> {
        self.end_if_overdue(at);
        let spend = &mut self.spends[at];
        if spend.charged.is_some() {
            return Err(LedgerError::JournalFinalised);
        }
        if total > spend.request.c_max.get() {
            return Err(LedgerError::JournalAboveReserve);
        }
        if spend.journalled.is_some_and(|last| total < last) {
            return Err(LedgerError::JournalDecreasing);
        }
        spend.journalled = Some(total);
        Ok(())
    }

    fn settle(&mut self, at: usize, charge: u64) -> Result<(), LedgerError> {
        self.end_if_overdue(at);
        let spend = &self.spends[at];
        if charge > spend.request.c_max.get() {
            return Err(LedgerError::SettleAboveReserve);
        }
        match spend.charged {
            Some(charged) if charged == charge => Ok(()),
            Some(_) => Err(LedgerError::SettleConflict),
            None if spend.journalled.is_some_and(|last| charge < last) => Err(LedgerError::SettleBelowJournal),
            None => {
                self.end(at, charge);
                Ok(())
            }
        }
    }

    fn is_overdue(&self, at: usize) -> bool {
        let spend = &self.spends[at];
        spend.charged.is_none() && self.now > spend.request.context.not_after + GRACE_SECS
    }

    fn end_if_overdue(&mut self, at: usize) {
        if self.is_overdue(at) {
            self.end(at, self.spends[at].journalled.unwrap_or(0));
        }
    }

    fn finalise(&mut self) {
        let mut overdue: Vec<_> = (0..self.spends.len()).filter(|at| self.is_overdue(*at)).collect();
        overdue.sort_by_key(|at| (self.spends[*at].request.context.not_after, self.spends[*at].request.nullifier));
        overdue.into_iter().for_each(|at| self.end_if_overdue(at));
    }

    fn end(&mut self, at: usize, charge: u64) {
        let spend = &mut self.spends[at];
        spend.charged = Some(charge);
        self.charged += charge;
        let refund = credits(spend.request.c_max.get() - charge);
        let (value, rho, blind) = (credits(spend.value_next), spend.request.nullifier.0, spend.blind_next);
        // Every note of these wallets was minted in a lane that its successors keep.
        let lane = (0..3).find(|lane| {
            let inner = credits::note::inner(self.key.public_key(*lane), value, rho, blind);
            inner == spend.request.inner_next
        });
        self.append(Note { lane: lane.unwrap(), value, rho, blind, refund });
    }

    /// Reads the whole log and holds it against everything the oracle knows. n37: Σ minted + Σ claimed = Σ charged + Σ live + Σ reserved.
    pub(crate) async fn audit<L: Ledger>(&self, ledger: &L) {
        let (entries, log_root, note_root, note_count) = read_log(ledger).await;
        let mut log = LogFrontier::new();
        let mut tree = NoteTree::new();
        let (mut minted, mut charged, mut claimed, mut claims) = (0, 0, 0, 0);
        let mut reserved: BTreeMap<Nullifier, Credits> = BTreeMap::new();
        let mut ended: BTreeMap<Nullifier, u64> = BTreeMap::new();
        let mut merged = BTreeSet::new();
        for entry in &entries {
            log.append(entry.leaf_hash());
            if let Some((index, leaf)) = entry.appended_note() {
                assert_eq!(tree.append(leaf), Ok(index));
            }
            match entry {
                LogEntry::Mint(mint) => minted += mint.value.get(),
                LogEntry::Reserve(spend) => {
                    assert_eq!(reserved.insert(spend.nullifier, spend.c_max), None, "one reservation per nullifier");
                }
                LogEntry::Journal(_) | LogEntry::Stake(_) | LogEntry::Slash(_) | LogEntry::Rating(_) => {}
                LogEntry::Claim(claim) => {
                    assert_eq!(claim.claim_seq, claims, "one claim after the other");
                    claims += 1;
                    claimed += claim.value.get();
                    assert!(claimed <= charged, "no more is claimed than was charged");
                }
                LogEntry::Merge(merge) => {
                    for nullifier in merge.nullifiers {
                        assert!(merged.insert(nullifier), "one merge per nullifier");
                    }
                }
                LogEntry::Settle(end) => {
                    charged += end.charge.get();
                    assert_eq!(end.charge.checked_add(end.refund), reserved.get(&end.nullifier).copied());
                    assert_eq!(ended.insert(end.nullifier, end.charge.get()), None, "one outcome per spend");
                }
                LogEntry::Void(end) => {
                    assert_eq!(Some(end.refund), reserved.get(&end.nullifier).copied());
                    assert_eq!(ended.insert(end.nullifier, 0), None, "one outcome per spend");
                }
            }
        }
        self.stakes.audit(&entries);
        self.stakes.audit_bond(ledger).await;
        assert_eq!(log.root(), log_root);
        assert_eq!((tree.root(), tree.len()), (note_root, note_count));
        assert_eq!(tree.leaves().collect::<Vec<_>>(), self.tree.leaves().collect::<Vec<_>>(), "every note, in order");
        assert_eq!((minted, charged, claimed), (self.minted, self.charged, self.claimed));
        let expected: BTreeMap<_, _> =
            self.spends.iter().filter_map(|spend| Some((spend.request.nullifier, spend.charged?))).collect();
        assert_eq!(ended, expected);
        assert_eq!(reserved.len(), self.spends.len());
        assert_eq!(u64::try_from(merged.len()), Ok(2 * self.merges));
        assert!(merged.iter().all(|nullifier| !reserved.contains_key(nullifier)), "what is merged is not spent");

        let live: u64 = self.live.iter().map(|note| note.balance().unwrap().get()).sum();
        let open = self.spends.iter().filter(|spend| spend.charged.is_none());
        let held: u64 = open.map(|spend| spend.value_next + spend.request.c_max.get()).sum();
        assert_eq!(minted + claimed, charged + live + held, "no credit is made or lost");
    }

    /// The sums that stores keep beside the log.
    pub(crate) async fn audit_sums<B: ledger::storage::Backend>(&self, ledger: &ledger::StoredLedger<B>) {
        let totals = ledger.totals().await.unwrap();
        assert_eq!((totals.mint_seq, totals.minted.get()), (self.mints, self.minted));
        let owed = self.owed();
        assert_eq!((totals.owed.get(), totals.claims), (owed, self.claims));
        let Stakes { staked, burnt, acts, .. } = self.stakes;
        assert_eq!((totals.staked.get(), totals.burnt.get(), totals.stake_acts), (staked, burnt, acts));
        let account = ledger.payee(payee_key().public()).await.unwrap();
        assert_eq!((account.owed.get(), account.claims), (owed, self.claims));
    }
}

/// The whole log, of a ledger that nobody writes to meanwhile.
async fn read_log<L: Ledger>(ledger: &L) -> (Vec<LogEntry>, Bytes32, credits::Root, u64) {
    let mut entries = Vec::new();
    loop {
        let page = ledger.log(u64::try_from(entries.len()).unwrap(), 1000).await.unwrap();
        entries.extend(page.entries);
        if u64::try_from(entries.len()) == Ok(page.checkpoint.log_size) {
            return (entries, page.checkpoint.log_root, page.checkpoint.note_root, page.checkpoint.note_count);
        }
    }
}
