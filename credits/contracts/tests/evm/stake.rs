//! Stakes behind settle keys: who can put and take them, and what loses them.

use revm::primitives::{Address, keccak256};

use crate::chain::{Contract, Done, Failure, Word, account, word};
use crate::world::{DEPOSITOR, FUNDS, GRACE_SECS, Guardian, HOME, STRANGER, TAB_SECS_MAX, UNIT, World, address_word};

const NULLIFIER: u64 = 77;
const AMOUNT: u64 = 1_001;
const OWNER: u8 = DEPOSITOR;
const RELEASE_SECS: u64 = TAB_SECS_MAX + GRACE_SECS + 14 * 24 * 3_600;

struct Stakes {
    world: World,
    stake: Contract,
    guardian: Guardian,
}

impl Stakes {
    fn new() -> Self {
        let mut world = World::credulous();
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

    fn consent(&mut self, owner: u8) -> [Word; 3] {
        let digest = self.world.chain.read(self.stake, "consentDigest", &[address_word(account(owner))]);
        self.guardian.sign(digest)
    }

    fn put(&mut self, amount: u64) -> Result<Done, Failure> {
        let consent = self.consent(OWNER);
        let words = [&[self.key(), word(amount)][..], &consent].concat();
        self.send(OWNER, "stake", &words)
    }

    fn send(&mut self, from: u8, method: &str, words: &[Word]) -> Result<Done, Failure> {
        self.world.chain.call(account(from), self.stake, method, words)
    }

    fn bill(&mut self, guardian: &Guardian, nullifier: u64, total: u64) -> [Word; 3] {
        let digest = self.world.chain.read(self.stake, "billDigest", &[word(nullifier), word(total)]);
        guardian.sign(digest)
    }

    fn settlement(&mut self, guardian: &Guardian, nullifier: u64, charge: u64) -> [Word; 3] {
        let digest = self.world.read("settleDigest", &[word(nullifier), word(charge)]);
        guardian.sign(digest)
    }

    fn slash(&mut self, method: &str, first: (u64, [Word; 3]), second: (u64, [Word; 3])) -> Result<Done, Failure> {
        let head = [self.key(), word(NULLIFIER), word(first.0)];
        let words = [&head[..], &first.1, &[word(second.0)], &second.1].concat();
        self.send(STRANGER, method, &words)
    }

    fn tokens(&mut self, of: Address) -> u64 {
        self.world.tokens(of)
    }
}

#[test]
fn a_stake_is_its_owners_after_a_while() {
    let mut stakes = Stakes::new();
    let key = stakes.key();
    // Without the key's consent, or with one for another owner, nobody takes its place.
    let consent = stakes.consent(STRANGER);
    stakes.send(OWNER, "stake", &[&[key, word(5)][..], &consent].concat()).unwrap_err().is("SignatureInvalid()");
    let none = [word(0); 3];
    stakes.send(OWNER, "stake", &[&[word(0), word(5)][..], &none].concat()).unwrap_err().is("SignatureInvalid()");
    stakes.put(0).unwrap_err().is("AmountZero()");
    stakes.put(FUNDS * UNIT + 1).unwrap_err().is("TransferRefused()");
    stakes.put(AMOUNT).unwrap();
    stakes.put(AMOUNT).unwrap_err().is("AlreadyStaked()");
    assert_eq!(stakes.tokens(stakes.stake.address), AMOUNT);

    stakes.send(OWNER, "release", &[key]).unwrap_err().is("NotReleased()");
    stakes.send(STRANGER, "requestRelease", &[key]).unwrap_err().is("NotOwner()");
    stakes.send(OWNER, "requestRelease", &[key]).unwrap();
    stakes.world.chain.now += RELEASE_SECS - 1;
    stakes.send(OWNER, "release", &[key]).unwrap_err().is("NotReleased()");
    stakes.world.chain.now += 1;
    stakes.send(STRANGER, "release", &[key]).unwrap_err().is("NotOwner()");
    stakes.send(OWNER, "release", &[key]).unwrap();
    stakes.send(OWNER, "release", &[key]).unwrap_err().is("NotOwner()");
    assert_eq!(stakes.tokens(account(OWNER)), FUNDS * UNIT);
    // Gone, it can be put again.
    stakes.put(AMOUNT).unwrap();
}

#[test]
fn a_settlement_above_the_final_bill_loses_the_stake_once() {
    let mut stakes = Stakes::staked();
    let key = stakes.key();
    let guardian = Guardian::new(7);
    let (settled, billed) = (stakes.settlement(&guardian, NULLIFIER, 101), stakes.bill(&guardian, NULLIFIER, 100));
    // It stays liable while it is being released.
    stakes.send(OWNER, "requestRelease", &[key]).unwrap();
    stakes.world.chain.now += RELEASE_SECS;
    let done = stakes.slash("slashOvercharge", (101, settled), (100, billed)).unwrap();
    let (topics, data) = done.event("Slashed(address,uint256,address,uint128)");
    assert_eq!((topics[0].0, topics[1].0), (key, word(NULLIFIER)));
    assert_eq!(data, [address_word(account(STRANGER)), word(AMOUNT)].concat());
    // Of an odd amount the odd unit is burnt.
    let burnt: Address = "0x000000000000000000000000000000000000dEaD".parse().unwrap();
    let (reward, rest) = (AMOUNT / 2, AMOUNT - AMOUNT / 2);
    assert_eq!((stakes.tokens(account(STRANGER)), stakes.tokens(burnt)), (reward, rest));
    assert_eq!(stakes.tokens(stakes.stake.address), 0);
    stakes.slash("slashOvercharge", (101, settled), (100, billed)).unwrap_err().is("NoStake()");
    stakes.send(OWNER, "release", &[key]).unwrap_err().is("NotOwner()");
}

#[test]
fn two_final_bills_of_one_spend_lose_the_stake() {
    let mut stakes = Stakes::staked();
    let guardian = Guardian::new(7);
    let bills = [5, 6].map(|total| (total, stakes.bill(&guardian, NULLIFIER, total)));
    stakes.slash("slashTwoBills", bills[0], bills[0]).unwrap_err().is("NoFault()");
    stakes.slash("slashTwoBills", bills[0], bills[1]).unwrap();
    assert_eq!(stakes.tokens(account(STRANGER)), AMOUNT / 2);
}

/// What an honest guardian signs, and what others can make of it, is no evidence.
#[test]
fn honest_signatures_and_forged_evidence_lose_nothing() {
    let mut stakes = Stakes::staked();
    let (honest, other) = (Guardian::new(7), Guardian::new(8));
    let bill = (100, stakes.bill(&honest, NULLIFIER, 100));
    let totals = [0, 40, 100].map(|charge| (charge, stakes.settlement(&honest, NULLIFIER, charge)));
    for total in totals {
        stakes.slash("slashOvercharge", total, bill).unwrap_err().is("NoFault()");
        // A running total is not a bill, nor a bill a settlement.
        stakes.slash("slashTwoBills", bill, (7, total.1)).unwrap_err().is("SignatureInvalid()");
    }
    stakes.slash("slashOvercharge", (101, bill.1), bill).unwrap_err().is("SignatureInvalid()");
    // Of another spend, by another key, for another amount, in the other form, on another chain.
    let elsewhere = stakes.settlement(&honest, NULLIFIER + 1, 101);
    stakes.slash("slashOvercharge", (101, elsewhere), bill).unwrap_err().is("SignatureInvalid()");
    let elsewhere = stakes.bill(&honest, NULLIFIER + 1, 99);
    stakes.slash("slashTwoBills", (99, elsewhere), bill).unwrap_err().is("SignatureInvalid()");
    let theirs = stakes.settlement(&other, NULLIFIER, 101);
    stakes.slash("slashOvercharge", (101, theirs), bill).unwrap_err().is("SignatureInvalid()");
    stakes.slash("slashOvercharge", (101, totals[2].1), bill).unwrap_err().is("SignatureInvalid()");
    stakes.world.chain.fork(HOME + 1);
    let there = stakes.settlement(&honest, NULLIFIER, 101);
    stakes.world.chain.fork(HOME);
    stakes.slash("slashOvercharge", (101, there), bill).unwrap_err().is("SignatureInvalid()");
    assert_eq!(stakes.tokens(stakes.stake.address), AMOUNT);
}

#[test]
fn consents_and_bills_are_eip_712() {
    let mut stakes = Stakes::new();
    let domain_type = keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    let place = [word(HOME), address_word(stakes.stake.address)];
    let named = [keccak256("Cloister stake").0, keccak256("1").0];
    let domain = keccak256([domain_type.0, named[0], named[1], place[0], place[1]].concat());
    let typed = |message: &[Word]| {
        keccak256([&[0x19, 0x01][..], domain.as_slice(), keccak256(message.concat()).as_slice()].concat())
    };
    let bill = typed(&[keccak256("Bill(uint256 nullifier,uint64 total)").0, word(3), word(4)]);
    assert_eq!(stakes.world.chain.read(stakes.stake, "billDigest", &[word(3), word(4)]), bill.0);
    let consent = typed(&[keccak256("Consent(address owner)").0, address_word(account(9))]);
    assert_eq!(stakes.world.chain.read(stakes.stake, "consentDigest", &[address_word(account(9))]), consent.0);
}
