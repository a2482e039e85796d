//! n37: whatever the schedule, no credit is made or lost. Random schedules against a model that has the rules written a second time.
//! The verifier takes every proof, so that schedules are long; what proofs hold to is tested elsewhere.

use std::collections::BTreeMap;

use credits::note::{Leaf, inner, leaf};
use credits::tree::{ANCHOR_LIFE, ANCHOR_STEP};
use credits::{Blind, Credits, Fe, Inner, NotePublicKey, NoteTree};
use revm::primitives::{Address, keccak256};

use crate::chain::{Done, Failure, Word, account, number, word};
use crate::fixture::TestRng;
use crate::world::{
    DEPOSITOR, FUNDS, GRACE_SECS, Guardian, ROOT_WINDOW, STRANGER, Spend, TAB_SECS_MAX, Terms, UNIT, World,
    address_word, credits,
};

const SCHEDULES: u64 = 10;
const STEPS: usize = 300;
const PAYEES: [u8; 3] = [0x51, 0x52, 0x53];
const GUARDIANS: [u8; 2] = [7, 8];
const OUTSIDE: u8 = 0x61;

/// Where a spend stands; its remainder is the hidden part of the successor, which the note had beyond `c_max`.
#[derive(Clone, Debug)]
struct Held {
    spend: Spend,
    guardian: u8,
    remainder: u64,
    reserved: bool,
}

/// What is true of the contract, by the rules and by what it was asked.
#[derive(Default)]
struct Model {
    /// Worth of each note that can be spent.
    live: Vec<u64>,
    held: Vec<Held>,
    claimable: BTreeMap<u8, u64>,
    minted: u64,
    notes_minted: u64,
    charged: u64,
    exited: u64,
    claimed: u64,
    tree: NoteTree,
    /// Recorded roots, and over how many leaves each is.
    roots: Vec<(Word, u64)>,
    /// The newest anchor's root, recorded or not.
    anchor: Word,
}

impl Model {
    fn reserved(&self) -> impl Iterator<Item = &Held> {
        self.held.iter().filter(|held| held.reserved)
    }

    fn append(&mut self, made: Leaf, index: u64) {
        assert_eq!(self.tree.append(made), Ok(index));
        if self.tree.len().is_multiple_of(ANCHOR_STEP) {
            self.anchor = *self.tree.root().as_bytes();
        }
    }

    /// Records a root over so many leaves, unless it is; says whether it was not.
    fn record(&mut self, root: Word, leaves: u64) -> bool {
        let new = !self.roots.iter().any(|(recorded, _)| *recorded == root);
        if new {
            self.roots.push((root, leaves));
        }
        new
    }

    fn accepts(&self, root: Word) -> bool {
        let recorded = self.roots.iter().find(|(recorded, _)| *recorded == root);
        recorded.is_some_and(|(_, under)| {
            let following = self.tree.len() - under;
            following < ROOT_WINDOW || (under % ANCHOR_STEP == 0 && following < ANCHOR_LIFE)
        })
    }

    /// The successor of a spend is a note that can be spent.
    fn end(&mut self, inner_next: Word, worth: u64, refund: u64, index: u64) -> Word {
        let made = leaf(Inner::from_bytes(inner_next).unwrap(), credits(refund));
        self.append(made, index);
        self.live.push(worth);
        *made.as_bytes()
    }

    /// Everything that the contract holds, by the model, is in its account.
    fn check(&self, world: &mut World, at: &str) {
        let held: u64 = self.reserved().map(|held| held.remainder + held.spend.terms.c_max).sum();
        let reserved: u64 = self.reserved().map(|held| held.spend.terms.c_max).sum();
        let (live, unclaimed): (u64, u64) = (self.live.iter().sum(), self.claimable.values().sum());
        let contract = world.cloister.address;
        assert_eq!(world.tokens(contract), (live + held + unclaimed) * UNIT, "{at}: tokens");
        let totals = [self.minted - self.exited - self.claimed, reserved, unclaimed];
        assert_eq!(world.totals(), totals, "{at}: totals");
        let open = u64::try_from(self.reserved().count()).unwrap();
        assert_eq!(world.counts(), [self.notes_minted, open], "{at}: counts");
        assert_eq!(self.minted, live + held + self.charged + self.exited, "{at}: the model itself");
        for (payee, amount) in &self.claimable {
            let claimable = world.read("claimable", &[address_word(account(*payee))]);
            assert_eq!(number(&claimable), *amount, "{at}: payee {payee}");
        }
        assert_eq!(world.tokens(account(OUTSIDE)), (self.claimed + self.exited) * UNIT, "{at}: outside");
    }
}

/// A random choice of what to do, and what must come of it.
struct Schedule {
    rng: TestRng,
    world: World,
    model: Model,
    refused: BTreeMap<&'static str, usize>,
    done: BTreeMap<&'static str, usize>,
}

impl Schedule {
    fn new(seed: u64) -> Self {
        let (world, rng) = (World::credulous(), TestRng::new(seed));
        Self { rng, world, model: Model::default(), refused: BTreeMap::new(), done: BTreeMap::new() }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let len = u64::try_from(from.len()).unwrap();
        (len > 0).then(|| from[usize::try_from(self.rng.below(len)).unwrap()])
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.rng.below(u64::try_from(len).unwrap())).unwrap()
    }

    /// Compares an answer with the error that the model expects, if any; gives what was done.
    fn judge(
        &mut self,
        what: &'static str,
        answer: Result<Done, Failure>,
        error: Option<&'static str>,
    ) -> Option<Done> {
        match (answer, error) {
            (Ok(done), None) => {
                *self.done.entry(what).or_default() += 1;
                Some(done)
            }
            (Err(failure), Some(error)) => {
                let expected = Failure::Reverted(keccak256(format!("{error}()"))[..4].to_vec());
                assert_eq!(failure, expected, "{what}: {error}");
                *self.refused.entry(error).or_default() += 1;
                None
            }
            (answer, error) => panic!("{what}: {answer:?} where the model has {error:?}"),
        }
    }

    fn step(&mut self) {
        match self.rng.below(20) {
            0..=2 => self.deposit(),
            3..=8 => self.spend(),
            9..=12 => self.settle(),
            13 | 14 => self.void(),
            15 => self.claim(),
            16 => self.record(),
            17 => self.again(),
            _ => self.world.chain.now += self.rng.below(700),
        }
    }

    fn deposit(&mut self) {
        let count = self.rng.below(10);
        let outputs: Vec<[Word; 3]> = (0..count)
            .map(|_| [*self.rng.fe().as_bytes(), word(self.rng.below(40) * 50), *self.rng.fe().as_bytes()])
            .collect();
        let values: Vec<u64> = outputs.iter().map(|output| number(&output[1])).collect();
        let sum: u64 = values.iter().sum();
        let left = self.world.tokens(account(DEPOSITOR)) / UNIT;
        let error = match () {
            () if outputs.is_empty() || outputs.len() > 8 => Some("OutputsCount"),
            () if values.contains(&0) => Some("AmountZero"),
            () if sum > left => Some("TransferRefused"),
            () => None,
        };
        let answer = self.world.deposit(&outputs);
        let Some(done) = self.judge("deposit", answer, error) else { return };
        let minted = done.logs.iter().filter(|log| log.address == self.world.cloister.address);
        for (output, log) in outputs.iter().zip(minted) {
            let data = log.data.data.as_ref();
            let [pk, value, b] = output.map(|word| Fe::from_bytes(word).unwrap());
            let rho = Fe::from_bytes(data[64..96].try_into().unwrap()).unwrap();
            let worth = credits(number(value.as_bytes()));
            let made = leaf(inner(NotePublicKey(pk), worth, rho, Blind(b)), Credits::ZERO);
            assert_eq!(data[160..192], *made.as_bytes());
            self.model.append(made, number(&data[128..160]));
            self.model.live.push(worth.get());
        }
        self.model.minted += sum;
        self.model.notes_minted += count;
    }

    /// A reservation or an exit, now and then of nothing, too late, too early, or under a root that is old.
    fn spend(&mut self) {
        if self.model.live.is_empty() {
            return;
        }
        let at = self.index(self.model.live.len());
        let worth = self.model.live[at];
        let exit = self.rng.below(4) == 0;
        let whole = exit && self.rng.below(3) == 0;
        let c_max = if whole { worth } else { self.rng.below(worth + 1) };
        let now = self.world.chain.now;
        let not_after = now + self.rng.below(TAB_SECS_MAX * 11 / 10);
        let guardian = self.pick(&GUARDIANS).unwrap();
        let payee = self.pick(&PAYEES).unwrap();
        let terms = if whole {
            Terms::exit_whole(not_after, account(OUTSIDE))
        } else if exit {
            Terms::exit(not_after, account(OUTSIDE))
        } else {
            Terms { settle_key: Guardian::new(guardian).address(), payee: account(payee), ..Terms::new(not_after) }
        };
        // A successor that another spend has, now and then.
        let used: Vec<Word> = self.model.held.iter().map(|held| held.spend.terms.inner_next).collect();
        let reuse = self.rng.below(15) == 0;
        let reused = self.pick(&used).filter(|_| reuse);
        let inner_next = reused.unwrap_or(*self.rng.fe().as_bytes());
        let terms = Terms { inner_next, c_max, ..terms };
        let known: Vec<Word> = self.model.roots.iter().map(|(root, _)| *root).collect();
        let newest = known.last().copied().unwrap_or(word(5));
        let any = self.pick(&known).unwrap_or(word(5));
        let root = if self.rng.below(3) == 0 { any } else { newest };
        let spend = Spend { root, nullifier: *self.rng.fe().as_bytes(), terms, proof: vec![word(1); 8] };
        let error = match () {
            () if c_max == 0 => Some("ReserveZero"),
            () if not_after <= now => Some("Expired"),
            () if not_after > now + TAB_SECS_MAX => Some("NotAfterTooFar"),
            () if reused.is_some() => Some("InnerReused"),
            () if !self.model.accepts(root) => Some("RootUnknown"),
            () => None,
        };
        let method = if exit { "exit" } else { "reserve" };
        let answer = self.world.send(STRANGER, method, &spend.words());
        let Some(done) = self.judge(method, answer, error) else { return };
        self.model.live.swap_remove(at);
        let remainder = worth - c_max;
        if whole {
            done.event(&format!("ExitedWhole(uint256,uint256,{})", crate::world::TERMS));
            *self.done.entry("exit whole").or_default() += 1;
            self.model.exited += c_max;
        } else if exit {
            let (_, data) = done.event(&format!("Exited(uint256,uint256,{},uint64,uint256)", crate::world::TERMS));
            let leaf = self.model.end(inner_next, remainder, 0, number(&data[288..320]));
            assert_eq!(data[320..352], leaf);
            self.model.exited += c_max;
        }
        self.model.held.push(Held { spend, guardian, remainder, reserved: !exit });
    }

    fn settle(&mut self) {
        if self.model.held.is_empty() {
            return;
        }
        let at = self.index(self.model.held.len());
        let Held { spend, guardian, remainder, reserved } = self.model.held[at].clone();
        let c_max = spend.terms.c_max;
        let charge = self.rng.below(c_max + c_max / 8 + 2);
        let signer = if self.rng.below(8) == 0 { 9 } else { guardian };
        let late = self.world.chain.now > spend.terms.not_after + GRACE_SECS;
        let error = match () {
            () if charge > c_max => Some("SettleAboveReserve"),
            () if !reserved => Some("SpendEnded"),
            () if late => Some("SettleTooLate"),
            () if signer != guardian => Some("SettleSignature"),
            () => None,
        };
        let answer = self.world.settle(&spend, charge, &Guardian::new(signer));
        let Some(done) = self.judge("settle", answer, error) else { return };
        let (_, data) = done.event("Settled(uint256,uint64,uint64,uint64,uint256)");
        let refund = c_max - charge;
        assert_eq!((number(&data[..32]), number(&data[32..64])), (charge, refund));
        let leaf = self.model.end(spend.terms.inner_next, remainder + refund, refund, number(&data[64..96]));
        assert_eq!(data[96..128], leaf);
        self.model.held[at].reserved = false;
        self.model.charged += charge;
        let payee = PAYEES.into_iter().find(|payee| account(*payee) == spend.terms.payee).unwrap();
        *self.model.claimable.entry(payee).or_default() += charge;
    }

    fn void(&mut self) {
        if self.model.held.is_empty() {
            return;
        }
        let at = self.index(self.model.held.len());
        let Held { spend, remainder, reserved, .. } = self.model.held[at].clone();
        let overdue = self.world.chain.now > spend.terms.not_after + GRACE_SECS;
        let error = match () {
            () if !reserved => Some("SpendEnded"),
            () if !overdue => Some("VoidTooEarly"),
            () => None,
        };
        let answer = self.world.void(&spend);
        let Some(done) = self.judge("void", answer, error) else { return };
        let (_, data) = done.event("Voided(uint256,uint64,uint64,uint256)");
        let c_max = spend.terms.c_max;
        assert_eq!(number(&data[..32]), c_max);
        let leaf = self.model.end(spend.terms.inner_next, remainder + c_max, c_max, number(&data[32..64]));
        assert_eq!(data[64..96], leaf);
        self.model.held[at].reserved = false;
    }

    fn claim(&mut self) {
        let payee = self.pick(&PAYEES).unwrap();
        let amount = self.model.claimable.remove(&payee).unwrap_or(0);
        let error = (amount == 0).then_some("NothingToClaim");
        let answer = self.world.send(payee, "claim", &[address_word(account(OUTSIDE))]);
        if self.judge("claim", answer, error).is_some() {
            self.model.claimed += amount;
        }
    }

    fn record(&mut self) {
        if self.rng.below(2) == 0 {
            let answer = self.world.chain.call(account(STRANGER), self.world.tree, "recordRoot", &[]);
            let done = self.judge("recordRoot", answer, None).unwrap();
            assert_eq!(done.output, *self.model.tree.root().as_bytes());
            self.model.record(*self.model.tree.root().as_bytes(), self.model.tree.len());
            return;
        }
        let answer = self.world.chain.call(account(STRANGER), self.world.tree, "recordAnchor", &[]);
        let done = self.judge("recordAnchor", answer, None).unwrap();
        let leaves = self.model.tree.len() - self.model.tree.len() % ANCHOR_STEP;
        let new = leaves != 0 && self.model.record(self.model.anchor, leaves);
        assert_eq!(done.logs.len(), usize::from(new), "recorded once");
    }

    /// A spend that is known, as it was or with another payee.
    fn again(&mut self) {
        if self.model.held.is_empty() {
            return;
        }
        let at = self.index(self.model.held.len());
        let mut spend = self.model.held[at].spend.clone();
        let method = if spend.terms.settle_key == Address::ZERO { "exit" } else { "reserve" };
        let conflict = self.rng.below(2) == 0;
        if conflict {
            spend.terms.payee = account(STRANGER);
        }
        let answer = self.world.send(STRANGER, method, &spend.words());
        self.judge("again", answer, Some(if conflict { "SpendConflict" } else { "SpendRepeated" }));
    }
}

#[test]
fn n37_no_credit_is_made_or_lost_on_an_evm() {
    let (mut done, mut refused) = (BTreeMap::new(), BTreeMap::new());
    for seed in 0..SCHEDULES {
        let mut schedule = Schedule::new(0x5c4e_d000 + seed);
        for step in 0..STEPS {
            schedule.step();
            schedule.model.check(&mut schedule.world, &format!("seed {seed}, step {step}"));
        }
        let left = schedule.world.tokens(account(DEPOSITOR));
        assert_eq!(left, (FUNDS - schedule.model.minted) * UNIT, "seed {seed}");
        schedule.done.into_iter().for_each(|(what, count)| *done.entry(what).or_insert(0) += count);
        schedule.refused.into_iter().for_each(|(what, count)| *refused.entry(what).or_insert(0) += count);
    }
    println!("done {done:?}\nrefused {refused:?}");
    // Schedules that never came to something would say nothing of it.
    for what in ["deposit", "reserve", "settle", "void", "exit", "exit whole", "claim", "recordRoot", "recordAnchor"] {
        assert!(done.get(what).is_some_and(|count| *count >= 20), "{what}: {done:?}");
    }
    let errors = [
        "OutputsCount",
        "AmountZero",
        "ReserveZero",
        "NotAfterTooFar",
        "InnerReused",
        "RootUnknown",
        "SpendRepeated",
        "SpendConflict",
        "SpendEnded",
        "SettleAboveReserve",
        "SettleSignature",
        "SettleTooLate",
        "VoidTooEarly",
        "NothingToClaim",
    ];
    for error in errors {
        assert!(refused.contains_key(error), "{error}: {refused:?}");
    }
}
