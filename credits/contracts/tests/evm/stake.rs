//! Stakes behind settle keys: who can put and take them, and what loses them.

use revm::primitives::{Address, keccak256};

use crate::chain::{Contract, Done, Failure, Word, account, number, word};
use crate::world::{DEPOSITOR, FUNDS, GRACE_SECS, Guardian, HOME, STRANGER, TAB_SECS_MAX, UNIT, World, address_word};

/// Nullifier, successor and context of the reservation that signatures are about.
const RESERVATION: [u64; 3] = [77, 78, 79];
const AMOUNT: u64 = 1_019;
const OWNER: u8 = DEPOSITOR;
const RELEASE_SECS: u64 = TAB_SECS_MAX + GRACE_SECS + 14 * 24 * 3_600;
const COMMIT_SECS: u64 = 60;
/// A reward is the stake by this, rounded down.
const REWARD_DIVISOR: u64 = 20;
const SECRET: Word = [0x5e; 32];

/// What a signature is for, and the signature.
pub(crate) type Signed = (u64, [Word; 3]);

pub(crate) struct Stakes {
    pub(crate) world: World,
    stake: Contract,
    guardian: Guardian,
}

impl Stakes {
    fn new() -> Self {
        Self::of(World::credulous())
    }

    /// Behind the settle key of [`crate::world::Terms`], nothing yet.
    pub(crate) fn of(mut world: World) -> Self {
        let stake = world.chain.deploy("Stake", &[address_word(world.cloister.address)]).unwrap();
        Self { world, stake, guardian: Guardian::new(7) }
    }

    fn staked() -> Self {
        let mut stakes = Self::new();
        stakes.put(AMOUNT).unwrap();
        stakes
    }

    fn key(&self) -> Word {
        address_word(self.guardian.address())
    }

    /// The key's next consent, good for a minute.
    fn consent(&mut self, owner: u8) -> [Word; 4] {
        let nonce = self.world.chain.read(self.stake, "consents", &[self.key()]);
        let not_after = word(self.world.chain.now + 60);
        let named = [address_word(account(owner)), nonce, not_after];
        let digest = self.world.chain.read(self.stake, "consentDigest", &named);
        let [v, r, s] = self.guardian.sign(digest);
        [not_after, v, r, s]
    }

    pub(crate) fn put(&mut self, amount: u64) -> Result<Done, Failure> {
        let consent = self.consent(OWNER);
        self.put_by(OWNER, amount, consent)
    }

    fn put_by(&mut self, owner: u8, amount: u64, consent: [Word; 4]) -> Result<Done, Failure> {
        self.send(owner, "stake", &[&[self.key(), word(amount)][..], &consent].concat())
    }

    fn send(&mut self, from: u8, method: &str, words: &[Word]) -> Result<Done, Failure> {
        self.world.chain.call(account(from), self.stake, method, words)
    }

    pub(crate) fn bill(&mut self, guardian: &Guardian, reservation: [Word; 3], total: u64) -> Signed {
        let named = [&reservation[..], &[word(total)]].concat();
        (total, guardian.sign(self.world.chain.read(self.stake, "billDigest", &named)))
    }

    pub(crate) fn settlement(&mut self, guardian: &Guardian, reservation: [Word; 3], charge: u64) -> Signed {
        let named = [&reservation[..], &[word(charge)]].concat();
        (charge, guardian.sign(self.world.read("settleDigest", &named)))
    }

    fn evidence(&self, reservation: [Word; 3], first: Signed, billed: Signed) -> Vec<Word> {
        let (amounts, key) = ([word(first.0), word(billed.0)], self.key());
        [&[key][..], &reservation, &amounts[..1], &first.1, &amounts[1..], &billed.1].concat()
    }

    fn commitment(reporter: u8, evidence: &[Word]) -> Word {
        keccak256([&[address_word(account(reporter))][..], evidence, &[SECRET]].concat().concat()).0
    }

    fn show(&mut self, reporter: u8, method: &str, evidence: &[Word]) -> Result<Done, Failure> {
        self.send(reporter, method, &[evidence, &[SECRET]].concat())
    }

    /// Commits to evidence, unless that was done, and shows it in time.
    pub(crate) fn slash(
        &mut self,
        method: &str,
        reservation: [Word; 3],
        first: Signed,
        billed: Signed,
    ) -> Result<Done, Failure> {
        let evidence = self.evidence(reservation, first, billed);
        let commitment = Self::commitment(STRANGER, &evidence);
        if number(&self.world.chain.read(self.stake, "committedAt", &[commitment])) == 0 {
            self.send(STRANGER, "commit", &[commitment]).unwrap();
        }
        self.world.chain.now += COMMIT_SECS;
        self.show(STRANGER, method, &evidence)
    }

    pub(crate) fn staked_tokens(&mut self) -> u64 {
        self.tokens(self.stake.address)
    }

    fn liable_until(&mut self) -> u64 {
        number(&self.world.chain.read(self.stake, "liableUntil", &[self.key()]))
    }

    fn tokens(&mut self, of: Address) -> u64 {
        self.world.tokens(of)
    }
}

fn burnt() -> Address {
    "0x000000000000000000000000000000000000dEaD".parse().unwrap()
}

#[test]
fn a_stake_is_its_owners_after_a_while() {
    let mut stakes = Stakes::new();
    let key = stakes.key();
    assert_eq!(stakes.liable_until(), 0);
    // Without the key's consent, or with one for another owner, nobody takes its place.
    let consent = stakes.consent(STRANGER);
    stakes.put_by(OWNER, 5, consent).unwrap_err().is("SignatureInvalid()");
    let none = [consent[0], word(0), word(0), word(0)];
    stakes.put_by(OWNER, 5, none).unwrap_err().is("SignatureInvalid()");
    let nobody = [&[word(0), word(5)][..], &none].concat();
    stakes.send(OWNER, "stake", &nobody).unwrap_err().is("SignatureInvalid()");
    stakes.put(0).unwrap_err().is("AmountZero()");
    stakes.put(FUNDS * UNIT + 1).unwrap_err().is("TransferRefused()");
    let wide = stakes.consent(OWNER);
    let mut words = [&[key, word(0)][..], &wide].concat();
    words[1][15] = 1;
    stakes.send(OWNER, "stake", &words).unwrap_err().is("AmountTooLarge()");
    stakes.put(AMOUNT).unwrap();
    stakes.put(AMOUNT).unwrap_err().is("AlreadyStaked()");
    assert_eq!(stakes.staked_tokens(), AMOUNT);

    // As long as nobody asks for it, it stays liable as long as if its owner asked now.
    assert_eq!(stakes.liable_until(), stakes.world.chain.now + RELEASE_SECS);
    stakes.world.chain.now += 5;
    assert_eq!(stakes.liable_until(), stakes.world.chain.now + RELEASE_SECS);
    stakes.send(OWNER, "release", &[key]).unwrap_err().is("NotReleased()");
    stakes.send(STRANGER, "requestRelease", &[key]).unwrap_err().is("NotOwner()");
    let asked = stakes.world.chain.now;
    let done = stakes.send(OWNER, "requestRelease", &[key]).unwrap();
    let (topics, data) = done.event("ReleaseRequested(address,uint64)");
    assert_eq!((topics[0].0, number(&data)), (key, asked + RELEASE_SECS));
    stakes.world.chain.now += RELEASE_SECS - 1;
    assert_eq!(stakes.liable_until(), asked + RELEASE_SECS);
    stakes.send(OWNER, "release", &[key]).unwrap_err().is("NotReleased()");
    // A time that is past says that it can go at any moment.
    stakes.world.chain.now += 1_000;
    assert_eq!(stakes.liable_until(), asked + RELEASE_SECS);
    // Asked again, all begins anew.
    let state = stakes.world.chain.state();
    stakes.send(OWNER, "requestRelease", &[key]).unwrap();
    assert_eq!(stakes.liable_until(), stakes.world.chain.now + RELEASE_SECS);
    stakes.send(OWNER, "release", &[key]).unwrap_err().is("NotReleased()");
    stakes.world.chain.reorganise(&state);
    stakes.world.chain.now = asked + RELEASE_SECS;
    stakes.send(STRANGER, "release", &[key]).unwrap_err().is("NotOwner()");
    stakes.send(OWNER, "release", &[key]).unwrap();
    stakes.send(OWNER, "release", &[key]).unwrap_err().is("NotOwner()");
    assert_eq!((stakes.tokens(account(OWNER)), stakes.liable_until()), (FUNDS * UNIT, 0));
    // Gone, it can be put again.
    stakes.put(AMOUNT).unwrap();
}

#[test]
fn a_consent_is_for_one_stake_and_some_time() {
    let mut stakes = Stakes::new();
    let key = stakes.key();
    // A minute is good to its last second.
    let consent = stakes.consent(OWNER);
    stakes.world.chain.now += 61;
    stakes.put_by(OWNER, 5, consent).unwrap_err().is("ConsentExpired()");
    stakes.world.chain.now -= 1;
    // Two consents at once: the one that is used makes an end of the other.
    let other = stakes.consent(STRANGER);
    stakes.put_by(OWNER, 5, consent).unwrap();
    stakes.send(OWNER, "requestRelease", &[key]).unwrap();
    stakes.world.chain.now += RELEASE_SECS;
    stakes.send(OWNER, "release", &[key]).unwrap();
    // Who owned it once cannot put a grain into its place, however long the key said.
    let digest = |stakes: &mut Stakes, nonce| {
        let named = [address_word(account(OWNER)), word(nonce), word(u64::MAX)];
        let digest = stakes.world.chain.read(stakes.stake, "consentDigest", &named);
        let [v, r, s] = stakes.guardian.sign(digest);
        [word(u64::MAX), v, r, s]
    };
    let [used, coming] = [0, 1].map(|nonce| digest(&mut stakes, nonce));
    stakes.put_by(OWNER, 5, used).unwrap_err().is("SignatureInvalid()");
    // Nor with another time than was signed.
    stakes
        .put_by(OWNER, 5, [word(u64::MAX - 1), coming[1], coming[2], coming[3]])
        .unwrap_err()
        .is("SignatureInvalid()");
    stakes.world.chain.now -= RELEASE_SECS;
    stakes.put_by(STRANGER, 5, other).unwrap_err().is("SignatureInvalid()");
    stakes.put_by(OWNER, 5, coming).unwrap();
    assert_eq!(number(&stakes.world.chain.read(stakes.stake, "consents", &[key])), 2);
}

#[test]
fn a_settlement_above_the_final_bill_loses_the_stake_once() {
    let mut stakes = Stakes::staked();
    let (key, about) = (stakes.key(), RESERVATION.map(word));
    let guardian = Guardian::new(7);
    let (settled, billed) = (stakes.settlement(&guardian, about, 101), stakes.bill(&guardian, about, 100));
    // It stays liable while it is being released.
    stakes.send(OWNER, "requestRelease", &[key]).unwrap();
    stakes.world.chain.now += RELEASE_SECS;
    let done = stakes.slash("slashOvercharge", about, settled, billed).unwrap();
    let (topics, data) = done.event("Slashed(address,uint256,address,uint128)");
    assert_eq!((topics[0].0, topics[1].0), (key, about[0]));
    assert_eq!(data, [address_word(account(STRANGER)), word(AMOUNT)].concat());
    // All but a small reward is burnt, and what does not divide.
    let (reward, rest) = (AMOUNT / REWARD_DIVISOR, AMOUNT - AMOUNT / REWARD_DIVISOR);
    assert_eq!((stakes.tokens(account(STRANGER)), stakes.tokens(burnt())), (reward, rest));
    assert_eq!((stakes.staked_tokens(), stakes.liable_until()), (0, 0));
    stakes.slash("slashOvercharge", about, settled, billed).unwrap_err().is("NoStake()");
    stakes.send(OWNER, "release", &[key]).unwrap_err().is("NotOwner()");
    // Of a stake too small to be shared all is burnt, by a token too that moves no nothing.
    let refuses_nothing = word(6);
    stakes.world.chain.call(account(1), stakes.world.token, "misbehave", &[refuses_nothing]).unwrap();
    stakes.put(REWARD_DIVISOR - 1).unwrap();
    stakes.slash("slashOvercharge", about, settled, billed).unwrap();
    assert_eq!(stakes.tokens(burnt()), rest + REWARD_DIVISOR - 1);
}

#[test]
fn two_final_bills_of_one_spend_lose_the_stake() {
    let mut stakes = Stakes::staked();
    let about = RESERVATION.map(word);
    let guardian = Guardian::new(7);
    let bills = [5, 6].map(|total| stakes.bill(&guardian, about, total));
    stakes.slash("slashTwoBills", about, bills[0], bills[0]).unwrap_err().is("NoFault()");
    stakes.slash("slashTwoBills", about, bills[0], bills[1]).unwrap();
    assert_eq!(stakes.tokens(account(STRANGER)), AMOUNT / REWARD_DIVISOR);
}

/// Evidence on its way can be read by all; the reward is whose commitment is old enough.
#[test]
fn copied_evidence_earns_nothing() {
    const COPIER: u8 = 0x66;
    let mut stakes = Stakes::staked();
    let about = RESERVATION.map(word);
    let guardian = Guardian::new(7);
    let (settled, billed) = (stakes.settlement(&guardian, about, 101), stakes.bill(&guardian, about, 100));
    let evidence = stakes.evidence(about, settled, billed);
    stakes.show(STRANGER, "slashOvercharge", &evidence).unwrap_err().is("CommitmentMissing()");
    let commitment = Stakes::commitment(STRANGER, &evidence);
    // Whoever sends a commitment, it is for whom it names; a copy puts nothing off.
    let done = stakes.send(COPIER, "commit", &[commitment]).unwrap();
    assert_eq!(done.event("Committed(bytes32)").0[0].0, commitment);
    stakes.world.chain.now += COMMIT_SECS - 1;
    stakes.send(COPIER, "commit", &[commitment]).unwrap_err().is("CommitmentRepeated()");
    stakes.show(STRANGER, "slashOvercharge", &evidence).unwrap_err().is("CommitmentYoung()");
    stakes.world.chain.now += 1;
    // A copier, who has now seen the evidence, has no commitment, and a new one is too young.
    let copy = Stakes::commitment(COPIER, &evidence);
    stakes.show(COPIER, "slashOvercharge", &evidence).unwrap_err().is("CommitmentMissing()");
    stakes.send(COPIER, "commit", &[copy]).unwrap();
    stakes.show(COPIER, "slashOvercharge", &evidence).unwrap_err().is("CommitmentYoung()");
    // The commitment is to this evidence and secret.
    let words = [&evidence[..], &[word(1)]].concat();
    stakes.send(STRANGER, "slashOvercharge", &words).unwrap_err().is("CommitmentMissing()");
    stakes.show(STRANGER, "slashOvercharge", &evidence).unwrap();
    assert_eq!((stakes.tokens(account(STRANGER)), stakes.tokens(account(COPIER))), (AMOUNT / REWARD_DIVISOR, 0));
}

/// What an honest guardian signs, and what others can make of it, is no evidence.
#[test]
fn honest_signatures_and_forged_evidence_lose_nothing() {
    let mut stakes = Stakes::staked();
    let about = RESERVATION.map(word);
    let (honest, other) = (Guardian::new(7), Guardian::new(8));
    let bill = stakes.bill(&honest, about, 100);
    let totals = [0, 40, 100].map(|charge| stakes.settlement(&honest, about, charge));
    for total in totals {
        stakes.slash("slashOvercharge", about, total, bill).unwrap_err().is("NoFault()");
        // A running total is not a bill, nor a bill a settlement.
        stakes.slash("slashTwoBills", about, (7, total.1), bill).unwrap_err().is("SignatureInvalid()");
        stakes.slash("slashTwoBills", about, bill, (7, total.1)).unwrap_err().is("SignatureInvalid()");
    }
    stakes.slash("slashOvercharge", about, (101, bill.1), bill).unwrap_err().is("SignatureInvalid()");
    // About another reservation: one that differs in any of what names it.
    for place in 0..3 {
        let mut elsewhere = about;
        elsewhere[place] = word(1);
        let settled = stakes.settlement(&honest, elsewhere, 101);
        let billed = stakes.bill(&honest, elsewhere, 99);
        for about in [about, elsewhere] {
            stakes.slash("slashOvercharge", about, settled, bill).unwrap_err().is("SignatureInvalid()");
            stakes.slash("slashTwoBills", about, billed, bill).unwrap_err().is("SignatureInvalid()");
            stakes.slash("slashTwoBills", about, bill, billed).unwrap_err().is("SignatureInvalid()");
        }
    }
    // By another key, for another amount, in the other form, on another chain.
    let theirs = stakes.settlement(&other, about, 101);
    stakes.slash("slashOvercharge", about, theirs, bill).unwrap_err().is("SignatureInvalid()");
    stakes.slash("slashOvercharge", about, (101, totals[2].1), bill).unwrap_err().is("SignatureInvalid()");
    let settled = stakes.settlement(&honest, about, 101);
    let flipped = (101, crate::world::other_form(settled.1));
    stakes.slash("slashOvercharge", about, flipped, bill).unwrap_err().is("SignatureInvalid()");
    stakes.world.chain.fork(HOME + 1);
    let there = stakes.settlement(&honest, about, 101);
    stakes.world.chain.fork(HOME);
    stakes.slash("slashOvercharge", about, there, bill).unwrap_err().is("SignatureInvalid()");
    assert_eq!(stakes.staked_tokens(), AMOUNT);
}

#[test]
fn consents_and_bills_are_eip_712() {
    let mut stakes = Stakes::new();
    let domain_type = keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    let place = [word(HOME), address_word(stakes.stake.address)];
    let named = [keccak256("Cloister stake").0, keccak256("1").0];
    let domain = keccak256([domain_type.0, named[0], named[1], place[0], place[1]].concat());
    let typed = |name: &str, fields: &[Word]| {
        let message = keccak256([&[keccak256(name).0][..], fields].concat().concat());
        keccak256([&[0x19, 0x01][..], domain.as_slice(), message.as_slice()].concat()).0
    };
    let fields = [3, 4, 5, 6].map(word);
    let bill = typed("Bill(uint256 nullifier,uint256 innerNext,uint256 ctx,uint64 total)", &fields);
    assert_eq!(stakes.world.chain.read(stakes.stake, "billDigest", &fields), bill);
    let fields = [address_word(account(9)), word(7), word(8)];
    let consent = typed("Consent(address owner,uint64 nonce,uint64 notAfter)", &fields);
    assert_eq!(stakes.world.chain.read(stakes.stake, "consentDigest", &fields), consent);
}
