//! The contract decides as every ledger does: random requests, judged by `credits::state`, whose decisions all stores carry out, and by the contract.

use std::collections::{BTreeMap, BTreeSet};

use credits::ledger::settle_message;
use credits::note::leaf;
use credits::state::{
    Finalisation, ReserveDecision, ReserveFacts, ReserveRules, ReservedSpend, SettleDecision, SpendOutcome, SpendState,
    VerifiedSettle, decide_finalise, decide_reserve, decide_settle,
};
use credits::{
    Bytes32, Credits, Fe, Inner, LedgerError, Nullifier, ReserveRequest, Root, SettleRequest, SettledBy, SigningKey,
    SpendContext, SpendProof,
};
use revm::primitives::keccak256;

use crate::chain::{Done, Failure, Word, account, number, word};
use crate::fixture::TestRng;
use crate::world::{GRACE_SECS, Guardian, Spend, TAB_SECS_MAX, Terms, World, credits};

const SCHEDULES: u64 = 4;
const STEPS: usize = 400;
const GUARDIANS: [u8; 2] = [7, 8];
/// What is deposited: more than all reservations can come to, since here nobody proves anything.
const FUNDS: u64 = 500_000;

/// A reservation as it was sent, and its guardian.
#[derive(Clone)]
struct Request {
    spend: Spend,
    guardian: u8,
}

/// A ledger that only decides.
struct Rules {
    world: World,
    rng: TestRng,
    ledger_id: Bytes32,
    vk_digest: Bytes32,
    root: Word,
    records: BTreeMap<Word, SpendState>,
    used: BTreeSet<Word>,
    sent: Vec<Request>,
    seen: BTreeMap<String, usize>,
}

fn fe(word: Word) -> Fe {
    Fe::from_bytes(word).unwrap()
}

/// A guardian's key where there is no EVM.
fn receipt_key(guardian: u8) -> SigningKey {
    SigningKey::from_seed(&[guardian; 32])
}

impl Rules {
    fn new(seed: u64) -> Self {
        let mut world = World::credulous();
        world.deposit(&[[word(1), word(FUNDS), word(2)]]).unwrap();
        let (ledger_id, root) = (Bytes32(world.ledger_id()), world.recorded_root());
        let (records, used, sent) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        let rng = TestRng::new(seed);
        let vk_digest = Bytes32([2; 32]);
        Self { world, rng, ledger_id, vk_digest, root, records, used, sent, seen: BTreeMap::new() }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.rng.below(u64::try_from(from.len()).unwrap())).unwrap()]
    }

    fn any(&mut self) -> Option<Request> {
        let len = u64::try_from(self.sent.len()).unwrap();
        let place = self.rng.below(len.max(1));
        self.sent.get(usize::try_from(place).unwrap()).cloned()
    }

    /// The same context, its settle key an Ed25519 key in place of an address.
    fn context(&self, request: &Request) -> SpendContext {
        let settle_key = receipt_key(request.guardian).public();
        SpendContext { settle_key, ..request.spend.terms.context(self.ledger_id.0, self.vk_digest) }
    }

    /// A request with any faults at all: the order in which they are told is part of the rules.
    fn request(&mut self) -> Request {
        let now = self.world.chain.now;
        let soon = now + 1 + self.rng.below(TAB_SECS_MAX);
        let edges = [now - 1, now, now + 1, now + TAB_SECS_MAX, now + TAB_SECS_MAX + 1, soon, soon, soon, soon];
        let not_after = self.pick(&edges);
        let guardian = self.pick(&GUARDIANS);
        let tenth = [(); 3].map(|()| self.rng.below(10) == 0);
        let terms = Terms {
            inner_next: if tenth[0] { word(1 + self.rng.below(6)) } else { *self.rng.fe().as_bytes() },
            c_max: if tenth[1] { 0 } else { 1 + self.rng.below(100) },
            settle_key: Guardian::new(guardian).address(),
            ..Terms::new(not_after)
        };
        let root = if tenth[2] { word(5) } else { self.root };
        let nullifier = *self.rng.fe().as_bytes();
        Request { spend: Spend { root, nullifier, terms, proof: vec![[0; 32]; 8] }, guardian }
    }

    /// One that is known, as it was or changed.
    fn known(&mut self) -> Option<Request> {
        let mut request = self.any()?;
        match self.rng.below(6) {
            0 => request.spend.root = word(5),
            1 => request.spend.terms.payee = account(9),
            2 => request.spend.terms.not_after += 1,
            3 => request.spend.terms.c_max += 1,
            4 => request.spend.terms.inner_next = word(1),
            _ => {}
        }
        Some(request)
    }

    fn count(&mut self, what: &str) {
        *self.seen.entry(what.to_owned()).or_default() += 1;
    }

    /// Asserts that the contract answers so, and counts it.
    fn holds(&mut self, answer: Result<Done, Failure>, expected: Result<(), &str>, what: &str) -> Option<Done> {
        match (answer, expected) {
            (Ok(done), Ok(())) => {
                self.count(what);
                Some(done)
            }
            (Err(failure), Err(error)) => {
                let expected = Failure::Reverted(keccak256(format!("{error}()"))[..4].to_vec());
                assert_eq!(failure, expected, "{what}: {error}");
                self.count(&format!("{what}: {error}"));
                None
            }
            (answer, expected) => panic!("{what}: {answer:?} where the rules say {expected:?}"),
        }
    }

    fn reserve(&mut self, request: Request) {
        let context = self.context(&request);
        let Request { spend, .. } = &request;
        let asked = ReserveRequest {
            root: Root(fe(spend.root)),
            nullifier: Nullifier(fe(spend.nullifier)),
            inner_next: Inner(fe(spend.terms.inner_next)),
            c_max: credits(spend.terms.c_max),
            context: context.clone(),
            proof: SpendProof::from_bytes([1; 128]),
        };
        let facts = ReserveFacts {
            recorded: self.records.get(&spend.nullifier),
            inner_used: self.used.contains(&spend.terms.inner_next),
            root_recent: spend.root == self.root,
        };
        let rules = ReserveRules { ledger_id: self.ledger_id, vk_digest: self.vk_digest, tab_secs_max: TAB_SECS_MAX };
        let expected = match decide_reserve(&asked, facts, &rules, self.world.chain.now) {
            Ok(ReserveDecision::Record) => Ok(()),
            Ok(ReserveDecision::Repeat { .. }) => Err("SpendRepeated"),
            Err(LedgerError::SpendConflict) => Err("SpendConflict"),
            Err(LedgerError::ReserveZero) => Err("ReserveZero"),
            Err(LedgerError::Expired) => Err("Expired"),
            Err(LedgerError::NotAfterTooFar) => Err("NotAfterTooFar"),
            Err(LedgerError::InnerReused) => Err("InnerReused"),
            Err(LedgerError::RootUnknown) => Err("RootUnknown"),
            Err(error) => panic!("no rule of the contract: {error}"),
        };
        let answer = self.world.reserve(spend);
        if self.holds(answer, expected, "reserve").is_some() {
            let ReserveRequest { inner_next, c_max, context, .. } = asked;
            let reserved = ReservedSpend { inner_next, c_max, context, entry_index: 0, journalled: None };
            self.records.insert(spend.nullifier, SpendState::Reserved(reserved));
            self.used.insert(spend.terms.inner_next);
            self.sent.push(request);
        }
    }

    /// What a ledger does first, whoever asks: it ends what is overdue. On a chain somebody must send that.
    fn finalised(&self, state: &SpendState) -> Option<Finalisation> {
        decide_finalise(state, GRACE_SECS, self.world.chain.now)
    }

    fn settle(&mut self) {
        let Some(request) = self.any() else { return };
        let charge = self.rng.below(request.spend.terms.c_max + 10);
        let signer = if self.rng.below(6) == 0 { 9 } else { request.guardian };
        let nullifier = Nullifier(fe(request.spend.nullifier));
        let message = settle_message(&self.ledger_id, &nullifier, credits(charge));
        let asked = SettleRequest { nullifier, charge: credits(charge), signature: receipt_key(signer).sign(&message) };
        let verified = VerifiedSettle::verify(asked, &self.ledger_id, receipt_key(signer).public()).unwrap();
        let state = self.records[&request.spend.nullifier].clone();
        let overdue = self.finalised(&state).is_some();
        let decision = decide_settle(&state, &verified);
        // The contract tells a charge above the reserve before all else, and the signature, the dearest to judge, last.
        let above = charge > request.spend.terms.c_max;
        let expected = match (&decision, state.outcome().is_some()) {
            _ if above => Err("SettleAboveReserve"),
            (_, true) => Err("SpendEnded"),
            (_, false) if overdue => Err("SettleTooLate"),
            (Err(LedgerError::SettleSignature), false) => Err("SettleSignature"),
            (Ok(SettleDecision::Record { .. }), false) => Ok(()),
            (decision, false) => panic!("no rule of the contract: {decision:?}"),
        };
        // Nothing that a ledger refuses is taken, and nothing is refused that it records, but for what it has ended itself.
        assert_eq!(matches!(decision, Ok(SettleDecision::Record { .. })) && !overdue, expected.is_ok());
        let answer = self.world.settle(&request.spend, charge, &Guardian::new(signer));
        let (Some(done), Ok(SettleDecision::Record { refund })) = (self.holds(answer, expected, "settle"), decision)
        else {
            return;
        };
        let (_, data) = done.event("Settled(uint256,uint64,uint64,uint64,uint256)");
        let outcome = self.outcome(&request, credits(charge), refund, &data[64..]);
        assert_eq!((number(&data[..32]), number(&data[32..64])), (charge, refund.get()));
        let spend = state.spend().unwrap().clone();
        self.records.insert(request.spend.nullifier, SpendState::Settled { spend, outcome, by: SettledBy::Guardian });
    }

    fn void(&mut self) {
        let Some(request) = self.any() else { return };
        let state = self.records[&request.spend.nullifier].clone();
        let expected = match self.finalised(&state) {
            Some(Finalisation::Void { .. }) => Ok(()),
            Some(Finalisation::Settle { .. }) => panic!("nothing is journalled"),
            None if state.outcome().is_some() => Err("SpendEnded"),
            None => Err("VoidTooEarly"),
        };
        let answer = self.world.void(&request.spend);
        let (Some(done), Some(Finalisation::Void { refund })) =
            (self.holds(answer, expected, "void"), self.finalised(&state))
        else {
            return;
        };
        let (_, data) = done.event("Voided(uint256,uint64,uint64,uint256)");
        assert_eq!(number(&data[..32]), refund.get());
        let outcome = self.outcome(&request, Credits::ZERO, refund, &data[32..]);
        let spend = state.spend().unwrap().clone();
        self.records.insert(request.spend.nullifier, SpendState::Voided { spend, outcome });
    }

    /// What the contract appended is what the rules append; `c_max` is charge and refund.
    fn outcome(&mut self, request: &Request, charge: Credits, refund: Credits, appended: &[u8]) -> SpendOutcome {
        let terms = &request.spend.terms;
        assert_eq!(charge.get() + refund.get(), terms.c_max);
        let leaf = leaf(Inner(fe(terms.inner_next)), refund);
        let leaf_index = number(&appended[..32]);
        assert_eq!(appended[32..64], *leaf.0.as_bytes());
        // Roots grow old: the next requests are under the newest.
        self.root = self.world.recorded_root();
        SpendOutcome { charge, refund, leaf, leaf_index, entry_index: 0, rated: None }
    }

    fn unknown(&mut self) {
        let request = self.request();
        let answer = self.world.void(&request.spend);
        self.holds(answer, Err("SpendUnknown"), "void");
        let charge = self.rng.below(request.spend.terms.c_max + 1);
        let answer = self.world.settle(&request.spend, charge, &Guardian::new(request.guardian));
        self.holds(answer, Err("SpendUnknown"), "settle");
    }

    fn step(&mut self) {
        match self.rng.below(16) {
            0..=5 => {
                let request = self.request();
                self.reserve(request);
            }
            6 | 7 => {
                if let Some(request) = self.known() {
                    self.reserve(request);
                }
            }
            8..=11 => self.settle(),
            12 | 13 => self.void(),
            14 => self.unknown(),
            _ => self.world.chain.now += self.rng.below(900),
        }
        for state in self.records.values().filter(|state| state.outcome().is_some()) {
            let outcome = state.outcome().unwrap();
            assert_eq!(outcome.charge.get() + outcome.refund.get(), state.spend().unwrap().c_max.get());
        }
    }
}

#[test]
fn the_contract_decides_as_every_ledger_does() {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..SCHEDULES {
        let mut rules = Rules::new(0x0e11_0000 + seed);
        for _ in 0..STEPS {
            rules.step();
        }
        // What each spend is, read back.
        let states: Vec<(Word, u64)> = rules.records.iter().map(|(key, state)| (*key, code(state))).collect();
        for (nullifier, code) in states {
            assert_eq!(rules.world.state(nullifier), code);
        }
        rules.seen.into_iter().for_each(|(what, count)| *seen.entry(what).or_default() += count);
    }
    println!("{seen:?}");
    let reserve =
        ["SpendRepeated", "SpendConflict", "ReserveZero", "Expired", "NotAfterTooFar", "InnerReused", "RootUnknown"];
    let settle = ["SettleAboveReserve", "SettleSignature", "SettleTooLate", "SpendEnded", "SpendUnknown"];
    let void = ["VoidTooEarly", "SpendEnded", "SpendUnknown"];
    let refusals = [("reserve", &reserve[..]), ("settle", &settle[..]), ("void", &void[..])];
    for (method, errors) in refusals {
        assert!(seen.get(method).is_some_and(|count| *count >= 20), "{method}: {seen:?}");
        for error in errors {
            assert!(seen.contains_key(&format!("{method}: {error}")), "{method}: {error}: {seen:?}");
        }
    }
}

/// How the contract numbers states.
fn code(state: &SpendState) -> u64 {
    match state {
        SpendState::Reserved(_) => 1,
        SpendState::Settled { .. } => 2,
        SpendState::Voided { .. } => 3,
        SpendState::Merged(_) => panic!("nothing is merged on a chain"),
    }
}
