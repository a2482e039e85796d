//! What a ledger answers, from a settlement contract: the requests of the ledgers' suite become calls, and events become entries of a log.
//!
//! **Judged by the contract**, and only put into a ledger's words here ([`REFUSALS`]): whether a nullifier or a successor was used, and by the same
//! reservation or by another; deadlines, reserves, charges, roots, proofs; whether a settlement's signature is the settle key's; whether a spend has
//! ended or is overdue; what a deposit may open, and the cap; who is owed anything. What it answers with (numbers, `rho`, refunds, leaves, the root over
//! the notes) is read from its events and from the tree's answer.
//!
//! **Judged here**, because a chain has none of it:
//! - Ed25519. Each settle key and payee has one account on the chain. A request whose Ed25519 signature is good is sent under the signature, or from the
//!   account, of that key; any other under that of nobody's, and it is for the contract to refuse it.
//! - Vouchers: whose they are, and that a deposit is of all that its voucher is worth. A voucher is an account that is given its worth in tokens once;
//!   that it cannot pay twice is the token's refusal.
//! - For which ledger a request is. The contract makes the context by itself and refuses a proof for another (`ProofInvalid`), or a spend that it knows
//!   (`SpendRepeated`); that the ledger was the reason is said here.
//! - The earlier answer. The contract refuses what it was asked before (`SpendRepeated`, `SpendEnded`), where a ledger answers as before (decision 31):
//!   that answer is looked up in its events.
//! - When overdue spends end. A ledger ends them by itself, a chain when somebody sends that: here whoever is told `SettleTooLate`.
//! - Claims into notes: the contract pays all that is owed, in tokens, and of these a note is deposited.
//! - Running totals: a signed `Settle` of one is what an operator keeps, once he has seen, without sending it, that the contract would take it.
//! - The log's hashes, its proofs and the signatures under them.

use std::collections::{BTreeMap, BTreeSet};

use credits::claim::verify_claim;
use credits::hash::sha256;
use credits::merkle::{LogTree, consistency_proof, inclusion_proof};
use credits::{
    Bytes32, Checkpoint, CheckpointAnswer, ClaimEntry, ClaimRequest, ClaimResponse, Credits, Inner, JournalRequest,
    Leaf, LedgerError, LedgerInfo, LogEntry, LogPage, MintEntry, MintOutput, NotePublicKey, Nullifier, PayeeAccount,
    Recorded, RedeemRequest, RedeemResponse, Reservation, ReserveEntry, ReserveRequest, Root, SettleEntry,
    SettleRequest, SettleResponse, SettledBy, SignatureBytes, SpendContext, SpendProof, SpendPublic,
    UnsignedCheckpoint, VoidEntry, Voucher, journal_message, settle_message, verify_ed25519,
};
use revm::primitives::{Address, keccak256};

use crate::chain::{Done, Failure, Word, number, word};
use crate::fixture::input_words;
use crate::suite::support;
use crate::world::{Guardian, MINTED, SETTLED, Spend, TERMS, Terms, VOIDED, World, address_word, credits, fe};

const WORD: usize = 32;
/// Words of a proof, as the contract takes it.
const PROOF_WORDS: usize = 8;
const VK_DIGEST: Bytes32 = Bytes32([9; 32]);

/// What the contract refuses with, and what a ledger calls it. Whoever asks sees from the first what to do about repeats and about what is overdue.
const REFUSALS: &[(&str, LedgerError)] = &[
    ("OutputsCount", LedgerError::OutputsMismatch),
    ("AmountZero", LedgerError::OutputsMismatch),
    ("AmountTooLarge", LedgerError::OutputsMismatch),
    ("TransferRefused", LedgerError::OutputsMismatch),
    ("CapExceeded", LedgerError::CapExceeded),
    ("SpendRepeated", LedgerError::SpendConflict),
    ("SpendConflict", LedgerError::SpendConflict),
    ("ReserveZero", LedgerError::ReserveZero),
    ("Expired", LedgerError::Expired),
    ("NotAfterTooFar", LedgerError::NotAfterTooFar),
    ("InnerReused", LedgerError::InnerReused),
    ("RootUnknown", LedgerError::RootUnknown),
    ("ProofInvalid", LedgerError::ProofInvalid),
    ("SpendUnknown", LedgerError::NotFound),
    ("SpendEnded", LedgerError::SettleConflict),
    ("SettleTooLate", LedgerError::SettleConflict),
    ("SettleAboveReserve", LedgerError::SettleAboveReserve),
    ("SettleSignature", LedgerError::SettleSignature),
    ("NothingToClaim", LedgerError::ClaimAboveCharges),
];

/// The contract's name of a refusal, and a ledger's.
fn refusal(failure: &Failure) -> (&'static str, LedgerError) {
    let is_it = |name: &str| *failure == Failure::Reverted(keccak256(format!("{name}()"))[..4].to_vec());
    let known = REFUSALS.iter().find(|(name, _)| is_it(name));
    let (name, error) = known.unwrap_or_else(|| panic!("no refusal that a ledger has: {failure:?}"));
    (name, error.clone())
}

/// The key on the chain of an Ed25519 key.
fn guardian(key: &Bytes32) -> Guardian {
    Guardian::of_secret(&sha256(&[b"the account of ", &key.0[..]].concat()).0)
}

/// Who signs and sends what no key has signed.
fn nobody() -> Guardian {
    Guardian::of_secret(&sha256(b"nobody").0)
}

/// An account that is named by a digest.
fn account_of(digest: &[u8]) -> Address {
    Address::from_slice(&keccak256(digest)[12..])
}

fn words(data: &[u8]) -> Vec<Word> {
    data.chunks(WORD).map(|word| word.try_into().unwrap()).collect()
}

fn deposit_words(outputs: &[MintOutput]) -> Vec<Word> {
    let opened = outputs.iter().map(|output| [*output.pk.as_bytes(), word(output.value.get()), *output.b.as_bytes()]);
    let opened: Vec<_> = opened.collect();
    [&[word(32), word(u64::try_from(outputs.len()).unwrap())][..], &opened.concat()].concat()
}

/// The notes that a transaction opened, for a voucher.
fn minted(done: &Done, voucher_id: Bytes32) -> Vec<MintEntry> {
    let events = done.logs.iter().filter(|log| log.topics()[0] == keccak256(MINTED));
    let entry = |log: &revm::primitives::Log| {
        let at = words(&log.data.data);
        MintEntry {
            mint_seq: number(&log.topics()[1].0),
            value: credits(number(&at[0])),
            pk: NotePublicKey(fe(&at[1])),
            rho: fe(&at[2]),
            b: fe(&at[3]),
            leaf_index: number(&at[4]),
            leaf: Leaf(fe(&at[5])),
            voucher_id,
        }
    };
    events.map(entry).collect()
}

fn settled(done: &Done, signature: SignatureBytes) -> SettleEntry {
    let (topics, data) = done.event(SETTLED);
    let at = words(&data);
    SettleEntry {
        nullifier: Nullifier(fe(&topics[0].0)),
        charge: credits(number(&at[0])),
        refund: credits(number(&at[1])),
        leaf_index: number(&at[2]),
        leaf: Leaf(fe(&at[3])),
        by: SettledBy::Guardian,
        signature: Some(signature),
    }
}

fn voided(done: &Done) -> VoidEntry {
    let (topics, data) = done.event(VOIDED);
    let at = words(&data);
    VoidEntry {
        nullifier: Nullifier(fe(&topics[0].0)),
        refund: credits(number(&at[0])),
        leaf_index: number(&at[1]),
        leaf: Leaf(fe(&at[2])),
    }
}

/// A settlement contract, and what was read from its events.
pub(crate) struct Books {
    pub(crate) world: World,
    pub(crate) info: LedgerInfo,
    entries: Vec<LogEntry>,
    log: LogTree,
    /// Vouchers whose accounts were given their tokens.
    funded: BTreeSet<Bytes32>,
    /// The Ed25519 key of each account that has one.
    keys: BTreeMap<Address, Bytes32>,
}

impl Books {
    /// On a chain of its own, with the limits of the suite's ledgers.
    pub(crate) fn new() -> Self {
        let limits = [support::TAB_SECS_MAX, support::GRACE_SECS, support::ROOT_WINDOW];
        let mut world = World::marked(VK_DIGEST.0, support::START, limits);
        let ledger_id = Bytes32(world.ledger_id());
        let info = LedgerInfo { ledger_id, merge: None, ..support::info(VK_DIGEST) };
        let (entries, log) = (Vec::new(), LogTree::new());
        Self { world, info, entries, log, funded: BTreeSet::new(), keys: BTreeMap::new() }
    }

    pub(crate) fn redeem(&mut self, request: &RedeemRequest) -> Result<RedeemResponse, LedgerError> {
        let voucher = Voucher::from_text(&request.voucher).map_err(|_| LedgerError::VoucherInvalid)?;
        if voucher.ledger_id != self.info.ledger_id || voucher.verify(&self.info.admin_key).is_err() {
            return Err(LedgerError::VoucherInvalid);
        }
        let payer = account_of(&voucher.voucher_id.0);
        if self.funded.insert(voucher.voucher_id) {
            self.world.fund(payer, voucher.value.get());
        }
        let before = self.world.chain.state();
        let entries = match self.deposit(payer, &request.outputs) {
            Ok(done) if self.world.tokens(payer) == 0 => minted(&done, voucher.voucher_id),
            Ok(_) => {
                self.world.chain.reorganise(&before);
                return Err(LedgerError::OutputsMismatch);
            }
            Err(failure) => {
                let (_, error) = refusal(&failure);
                let entries = self.deposited(voucher.voucher_id).ok_or(error)?;
                let outputs = entries.iter().map(|entry| MintOutput { pk: entry.pk, value: entry.value, b: entry.b });
                if outputs.ne(request.outputs.iter().copied()) {
                    return Err(LedgerError::VoucherUsed);
                }
                return Ok(RedeemResponse { entries, checkpoint: self.head() });
            }
        };
        entries.iter().cloned().for_each(|entry| self.append(LogEntry::Mint(entry)));
        Ok(RedeemResponse { entries, checkpoint: self.head() })
    }

    fn deposit(&mut self, payer: Address, outputs: &[MintOutput]) -> Result<Done, Failure> {
        let cloister = self.world.cloister;
        self.world.chain.call(payer, cloister, "deposit", &deposit_words(outputs))
    }

    /// What a voucher's account deposited before.
    fn deposited(&self, voucher_id: Bytes32) -> Option<Vec<MintEntry>> {
        let of_it = |entry: &LogEntry| match entry {
            LogEntry::Mint(entry) if entry.voucher_id == voucher_id => Some(entry.clone()),
            _ => None,
        };
        let entries: Vec<_> = self.entries.iter().filter_map(of_it).collect();
        (!entries.is_empty()).then_some(entries)
    }

    pub(crate) fn reserve(&mut self, request: &ReserveRequest) -> Result<Reservation, LedgerError> {
        let spend = self.spend(request);
        let ReserveRequest { context, nullifier, .. } = request;
        let is_for_us = context.ledger_id == self.info.ledger_id && context.vk_digest == self.info.vk_digest;
        match self.world.reserve(&spend) {
            Ok(done) => {
                let entry = self.reserved(&done, request.proof);
                self.append(LogEntry::Reserve(entry));
            }
            Err(failure) => match refusal(&failure) {
                ("SpendRepeated", _) if is_for_us => {}
                ("ProofInvalid", _) if !is_for_us => return Err(LedgerError::LedgerMismatch),
                (_, error) => return Err(error),
            },
        }
        let (entry_index, _) = self.reservation(nullifier).expect("what the contract has reserved it told in an event");
        let (inclusion, checkpoint) = self.proved(entry_index);
        Ok(Reservation { nullifier: *nullifier, entry_index, inclusion, checkpoint })
    }

    /// A request as the contract takes it, its proof marked for what it would have been made for.
    fn spend(&mut self, request: &ReserveRequest) -> Spend {
        let ReserveRequest { root, nullifier, inner_next, c_max, context, proof } = request;
        let terms = self.terms(inner_next, *c_max, context);
        let ctx = terms.context(context.ledger_id.0, context.vk_digest).digest(*c_max);
        let mut proof = words(proof.as_bytes());
        proof.push(keccak256(input_words(&SpendPublic { ctx, ..request.public() }).concat()).0);
        proof.resize(PROOF_WORDS, [0; WORD]);
        Spend { root: *root.as_bytes(), nullifier: *nullifier.as_bytes(), terms, proof }
    }

    fn terms(&mut self, inner_next: &Inner, c_max: Credits, context: &SpendContext) -> Terms {
        Terms {
            inner_next: *inner_next.as_bytes(),
            c_max: c_max.get(),
            not_after: context.not_after,
            settle_key: self.account(&context.settle_key),
            payee: self.account(&context.payee),
            keyset_digest: context.keyset_digest.0,
            price_sheet_digest: context.price_sheet_digest.0,
            tab_key: context.tab_key.0,
        }
    }

    /// The account of an Ed25519 key.
    fn account(&mut self, key: &Bytes32) -> Address {
        let address = guardian(key).address();
        self.keys.insert(address, *key);
        address
    }

    fn reserved(&self, done: &Done, proof: SpendProof) -> ReserveEntry {
        let (topics, data) = done.event(&format!("Reserved(uint256,uint256,{TERMS})"));
        let at = words(&data);
        let key = |word: Word| self.keys[&Address::from_slice(&word[12..])];
        let context = SpendContext {
            ledger_id: self.info.ledger_id,
            vk_digest: self.info.vk_digest,
            not_after: number(&at[3]),
            settle_key: key(at[4]),
            payee: key(at[5]),
            keyset_digest: Bytes32(at[6]),
            price_sheet_digest: Bytes32(at[7]),
            tab_key: Bytes32(at[8]),
        };
        ReserveEntry {
            root: Root(fe(&at[0])),
            nullifier: Nullifier(fe(&topics[0].0)),
            inner_next: Inner(fe(&at[1])),
            c_max: credits(number(&at[2])),
            context,
            proof,
        }
    }

    /// A reservation and its place in the log.
    fn reservation(&self, nullifier: &Nullifier) -> Option<(u64, ReserveEntry)> {
        (0..).zip(&self.entries).find_map(|(index, entry)| match entry {
            LogEntry::Reserve(entry) if entry.nullifier == *nullifier => Some((index, entry.clone())),
            _ => None,
        })
    }

    pub(crate) fn settle(&mut self, request: &SettleRequest) -> Result<SettleResponse, LedgerError> {
        let message = settle_message(&self.info.ledger_id, &request.nullifier, request.charge);
        match self.send_settle(&request.nullifier, request.charge, &message, &request.signature) {
            Ok(done) => self.append(LogEntry::Settle(settled(&done, request.signature))),
            Err(failure) => match refusal(&failure) {
                ("SpendEnded", _) => {}
                ("SettleTooLate", _) => {
                    let (spend, _) = self.known(&request.nullifier).expect("too late for what the contract has");
                    let done = self.world.void(&spend).expect("what is too late to be settled is void");
                    self.append(LogEntry::Void(voided(&done)));
                    // Refused as ended now.
                    return self.settle(request);
                }
                (_, error) => return Err(error),
            },
        }
        self.outcome(request)
    }

    /// How a spend ended, for whoever settles it so.
    fn outcome(&mut self, request: &SettleRequest) -> Result<SettleResponse, LedgerError> {
        let nullifier = request.nullifier;
        let ends = |(index, entry): (u64, &LogEntry)| match entry {
            LogEntry::Settle(end) if end.nullifier == nullifier => {
                Some((index, end.charge, end.refund, end.leaf, end.leaf_index))
            }
            LogEntry::Void(end) if end.nullifier == nullifier => {
                Some((index, Credits::ZERO, end.refund, end.leaf, end.leaf_index))
            }
            _ => None,
        };
        let ended = (0..).zip(&self.entries).find_map(ends);
        let (entry_index, charge, refund, leaf, leaf_index) = ended.expect("what has ended was told in an event");
        if charge != request.charge {
            return Err(LedgerError::SettleConflict);
        }
        let (inclusion, checkpoint) = self.proved(entry_index);
        Ok(SettleResponse { nullifier, charge, refund, leaf, leaf_index, entry_index, inclusion, checkpoint })
    }

    pub(crate) fn journal(&mut self, request: &JournalRequest) -> Result<(), LedgerError> {
        let message = journal_message(&self.info.ledger_id, &request.nullifier, request.total);
        let before = self.world.chain.state();
        let answer = self.send_settle(&request.nullifier, request.total, &message, &request.signature);
        self.world.chain.reorganise(&before);
        let Err(failure) = answer else { return Ok(()) };
        match refusal(&failure) {
            ("SettleAboveReserve", _) => Err(LedgerError::JournalAboveReserve),
            ("SettleSignature", _) => Err(LedgerError::JournalSignature),
            ("SpendEnded" | "SettleTooLate", _) => Err(LedgerError::JournalFinalised),
            (_, error) => Err(error),
        }
    }

    /// Sends the settlement of a spend, signed by the key behind its settle key if that has signed the message, and else by nobody's.
    fn send_settle(
        &mut self,
        nullifier: &Nullifier,
        charge: Credits,
        message: &[u8],
        signature: &SignatureBytes,
    ) -> Result<Done, Failure> {
        let known = self.known(nullifier);
        let signer = match &known {
            Some((_, settle_key)) if verify_ed25519(settle_key, message, signature).is_ok() => guardian(settle_key),
            _ => nobody(),
        };
        // Of a spend that nobody has heard of, nobody knows the terms.
        let spend = known.map(|(spend, _)| spend).unwrap_or_else(|| {
            let terms = Terms { c_max: charge.get(), ..Terms::new(self.world.chain.now) };
            Spend { root: [0; WORD], nullifier: *nullifier.as_bytes(), terms, proof: Vec::new() }
        });
        let digest = self.world.settle_digest(&spend, charge.get());
        self.world.settle_signed(&spend, charge.get(), signer.sign(digest))
    }

    /// A reservation as it was sent, and its settle key.
    fn known(&mut self, nullifier: &Nullifier) -> Option<(Spend, Bytes32)> {
        let (_, entry) = self.reservation(nullifier)?;
        let terms = self.terms(&entry.inner_next, entry.c_max, &entry.context);
        let (root, nullifier) = (*entry.root.as_bytes(), *entry.nullifier.as_bytes());
        Some((Spend { root, nullifier, terms, proof: Vec::new() }, entry.context.settle_key))
    }

    pub(crate) fn claim(&mut self, request: &ClaimRequest) -> Result<ClaimResponse, LedgerError> {
        let is_signed = verify_claim(&self.info.ledger_id, request).is_ok();
        let from = if is_signed { self.account(&request.payee) } else { nobody().address() };
        let claims = self.claims(&request.payee);
        let (cloister, before) = (self.world.cloister, self.world.chain.state());
        // Paid to an account that has nothing else, so that the note is of this claim.
        let paid = account_of(&request.signature.0);
        if let Err(failure) = self.world.chain.call(from, cloister, "claim", &[address_word(paid)]) {
            return Err(match refusal(&failure) {
                ("NothingToClaim", _) if !is_signed => LedgerError::ClaimSignature,
                ("NothingToClaim", _) if request.claim_seq != claims => LedgerError::ClaimStale,
                (_, error) => error,
            });
        }
        let done = match self.deposit(paid, &[request.output]) {
            Ok(done) => done,
            Err(failure) => {
                self.world.chain.reorganise(&before);
                return Err(match refusal(&failure) {
                    ("AmountZero", _) => LedgerError::ClaimZero,
                    ("TransferRefused", _) => LedgerError::ClaimAboveCharges,
                    (_, error) => error,
                });
            }
        };
        let MintEntry { mint_seq, value, pk, rho, b, leaf_index, leaf, .. } =
            minted(&done, Bytes32::default()).remove(0);
        let (payee, signature) = (request.payee, request.signature);
        let entry = ClaimEntry { payee, claim_seq: claims, mint_seq, value, pk, rho, b, leaf_index, leaf, signature };
        let entry_index = self.log.size();
        self.append(LogEntry::Claim(entry.clone()));
        let (inclusion, checkpoint) = self.proved(entry_index);
        Ok(Recorded { entry, entry_index, inclusion, checkpoint })
    }

    fn claims(&self, payee: &Bytes32) -> u64 {
        let is_its = |entry: &&LogEntry| matches!(entry, LogEntry::Claim(entry) if entry.payee == *payee);
        u64::try_from(self.entries.iter().filter(is_its).count()).unwrap()
    }

    pub(crate) fn payee(&mut self, payee: &Bytes32) -> PayeeAccount {
        let account = self.account(payee);
        let owed = credits(number(&self.world.read("claimable", &[address_word(account)])));
        PayeeAccount { owed, claims: self.claims(payee) }
    }

    pub(crate) fn page(&mut self, from: u64, limit: u32) -> Result<LogPage, LedgerError> {
        let from = usize::try_from(from).ok().filter(|from| *from <= self.entries.len());
        let rest = &self.entries[from.ok_or(LedgerError::NotFound)?..];
        let entries = rest.iter().take(usize::try_from(limit).unwrap()).cloned().collect();
        Ok(LogPage { entries, checkpoint: self.head() })
    }

    pub(crate) fn checkpoint(&mut self, from: u64) -> Result<CheckpointAnswer, LedgerError> {
        let node = |level, index| self.log.node(level, index).ok_or(());
        let consistency = consistency_proof(from, self.log.size(), node).map_err(|_| LedgerError::NotFound)?;
        Ok(CheckpointAnswer { checkpoint: self.head(), consistency })
    }

    fn append(&mut self, entry: LogEntry) {
        self.log.append(entry.leaf_hash());
        self.entries.push(entry);
    }

    /// What is now. The root over the notes is the tree's own, and recorded: on a ledger that of every state is.
    fn head(&mut self) -> Checkpoint {
        let tree = self.world.tree;
        let unsigned = UnsignedCheckpoint {
            ledger_id: self.info.ledger_id,
            log_size: self.log.size(),
            log_root: self.log.root(),
            note_count: number(&self.world.chain.read(tree, "count", &[])),
            note_root: Root(fe(&self.world.recorded_root())),
            time: self.world.chain.now,
        };
        Checkpoint::sign(unsigned, &support::ledger_key())
    }

    fn proved(&mut self, entry_index: u64) -> (Vec<Bytes32>, Checkpoint) {
        let node = |level, index| self.log.node(level, index).ok_or(());
        (inclusion_proof(entry_index, self.log.size(), node).unwrap(), self.head())
    }
}
