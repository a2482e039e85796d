//! A deployed settlement contract, and a purse that follows it by its events alone.

use credits::bytes::LengthPrefixed;
use credits::hash::sha256;
use credits::note::{Leaf, inner, leaf};
use credits::spend::{SpendWitness, prove};
use credits::tree::spent_under;
use credits::{
    Blind, Bytes32, Credits, Fe, Inner, Note, NotePublicKey, NoteTree, Nullifier, Root, SpendContext, SpendKey,
    SpendPublic,
};
use k256::ecdsa::SigningKey;
use revm::primitives::{Address, B256, U256, keccak256};

use crate::chain::{CHAIN_ID, Chain, Contract, Done, Failure, Word, account, number, word};
use crate::fixture::{TestRng, key_words, params, proof_words};

/// Base units of the token per credit.
pub(crate) const UNIT: u64 = 1_000;
pub(crate) const TAB_SECS_MAX: u64 = 3_600;
pub(crate) const GRACE_SECS: u64 = 600;
pub(crate) const ROOT_WINDOW: u64 = 16;
/// Longest reservation, grace, and how many leaves may follow a root.
const LIMITS: [u64; 3] = [TAB_SECS_MAX, GRACE_SECS, ROOT_WINDOW];
/// Who pays deposits, and sends what anyone may send.
pub(crate) const DEPOSITOR: u8 = 0x11;
pub(crate) const STRANGER: u8 = 0x22;
pub(crate) const PAYEE: u8 = 0x33;
/// What the depositor's account begins with, in credits.
pub(crate) const FUNDS: u64 = 1_000_000;
/// A byte that its inner and leaf are read from by position.
const WORD: usize = 32;

pub(crate) fn credits(value: u64) -> Credits {
    Credits::new(value).unwrap()
}

pub(crate) fn address_word(address: Address) -> Word {
    address.into_word().0
}

/// A guardian's key on the EVM.
pub(crate) struct Guardian(SigningKey);

impl Guardian {
    pub(crate) fn new(seed: u8) -> Self {
        Self::of_secret(&[seed; 32])
    }

    pub(crate) fn of_secret(secret: &Word) -> Self {
        Self(SigningKey::from_slice(secret).unwrap())
    }

    pub(crate) fn address(&self) -> Address {
        let point = self.0.verifying_key().to_encoded_point(false);
        Address::from_slice(&keccak256(&point.as_bytes()[1..])[12..])
    }

    /// `v, r, s` over a digest, as words.
    pub(crate) fn sign(&self, digest: Word) -> [Word; 3] {
        let (signature, recovery) = self.0.sign_prehash_recoverable(&digest).unwrap();
        let (r, s) = signature.split_bytes();
        [word(27 + u64::from(recovery.to_byte())), r.into(), s.into()]
    }
}

/// The same signature with the other s, which the curve accepts as well.
pub(crate) fn other_form([v, r, s]: [Word; 3]) -> [Word; 3] {
    let order = hex::decode("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141").unwrap();
    let flipped = U256::from_be_slice(&order) - U256::from_be_bytes(s);
    [word(27 + 28 - number(&v)), r, flipped.to_be_bytes()]
}

/// What a spend is bound to, as the contract takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) inner_next: Word,
    pub(crate) c_max: u64,
    pub(crate) not_after: u64,
    pub(crate) settle_key: Address,
    pub(crate) payee: Address,
    pub(crate) keyset_digest: Word,
    pub(crate) price_sheet_digest: Word,
    pub(crate) tab_key: Word,
}

impl Terms {
    pub(crate) fn new(not_after: u64) -> Self {
        Self {
            inner_next: [0; 32],
            c_max: 0,
            not_after,
            settle_key: Guardian::new(7).address(),
            payee: account(PAYEE),
            keyset_digest: [3; 32],
            price_sheet_digest: [6; 32],
            tab_key: [8; 32],
        }
    }

    /// Terms of a spend to an address.
    pub(crate) fn exit(not_after: u64, to: Address) -> Self {
        Self {
            settle_key: Address::ZERO,
            payee: to,
            keyset_digest: [0; 32],
            price_sheet_digest: sha256(b"cloister/exit/v1").0,
            tab_key: [0; 32],
            ..Self::new(not_after)
        }
    }

    /// Terms of a whole note's spend to an address, which has no successor.
    pub(crate) fn exit_whole(not_after: u64, to: Address) -> Self {
        Self { price_sheet_digest: sha256(b"cloister/exit-whole/v1").0, ..Self::exit(not_after, to) }
    }

    pub(crate) fn words(&self) -> Vec<Word> {
        let (settle_key, payee) = (address_word(self.settle_key), address_word(self.payee));
        let numbers = [self.inner_next, word(self.c_max), word(self.not_after)];
        [&numbers[..], &[settle_key, payee, self.keyset_digest, self.price_sheet_digest, self.tab_key]].concat()
    }

    pub(crate) fn context(&self, ledger_id: Word, vk_digest: Bytes32) -> SpendContext {
        SpendContext {
            ledger_id: Bytes32(ledger_id),
            vk_digest,
            keyset_digest: Bytes32(self.keyset_digest),
            settle_key: Bytes32(address_word(self.settle_key)),
            payee: Bytes32(address_word(self.payee)),
            price_sheet_digest: Bytes32(self.price_sheet_digest),
            not_after: self.not_after,
            tab_key: Bytes32(self.tab_key),
        }
    }
}

/// A spend as it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Spend {
    pub(crate) root: Word,
    pub(crate) nullifier: Word,
    pub(crate) terms: Terms,
    pub(crate) proof: Vec<Word>,
}

impl Spend {
    pub(crate) fn words(&self) -> Vec<Word> {
        [&[self.root, self.nullifier][..], &self.terms.words(), &self.proof].concat()
    }
}

pub(crate) struct World {
    pub(crate) chain: Chain,
    pub(crate) token: Contract,
    pub(crate) cloister: Contract,
    pub(crate) tree: Contract,
}

impl World {
    /// With the verifier of proofs.
    pub(crate) fn new() -> Self {
        let mut chain = Chain::new();
        let verifier = chain.deploy("SpendVerifier", &key_words(params().verifying())).unwrap();
        Self::deploy(chain, verifier, LIMITS)
    }

    /// With a verifier that takes every proof.
    pub(crate) fn credulous() -> Self {
        let mut chain = Chain::new();
        let verifier = chain.deploy("CredulousVerifier", &[[2; 32]]).unwrap();
        Self::deploy(chain, verifier, LIMITS)
    }

    /// With a verifier that takes the proofs that were marked as good, of what they were marked for, and with these limits from a time on.
    pub(crate) fn marked(key_digest: Word, start: u64, limits: [u64; 3]) -> Self {
        let mut chain = Chain::new();
        chain.now = start;
        let verifier = chain.deploy("MarkedVerifier", &[key_digest]).unwrap();
        Self::deploy(chain, verifier, limits)
    }

    fn deploy(mut chain: Chain, verifier: Contract, limits: [u64; 3]) -> Self {
        let token = chain.deploy("TestToken", &[]).unwrap();
        let (cloister, tree) = Self::settlement(&mut chain, token, verifier, limits);
        let mut world = Self { chain, token, cloister, tree };
        world.fund(account(DEPOSITOR), FUNDS);
        world
    }

    /// A settlement contract on the chain.
    fn settlement(chain: &mut Chain, token: Contract, verifier: Contract, limits: [u64; 3]) -> (Contract, Contract) {
        let hidden_part = chain.deploy("HiddenPart", &[]).unwrap();
        let parts = [verifier, hidden_part].map(|contract| address_word(contract.address));
        let arguments = [&[address_word(token.address), word(UNIT)][..], &parts, &limits.map(word)].concat();
        let cloister = chain.deploy("Cloister", &arguments).unwrap();
        let tree = Address::from_word(B256::from(chain.read(cloister, "tree", &[])));
        (cloister, Contract { name: "NoteTree", address: tree })
    }

    pub(crate) fn fund(&mut self, to: Address, credits: u64) {
        self.chain.call(to, self.token, "mint", &[address_word(to), word(credits * UNIT)]).unwrap();
    }

    pub(crate) fn send(&mut self, from: u8, method: &str, arguments: &[Word]) -> Result<Done, Failure> {
        self.chain.call(account(from), self.cloister, method, arguments)
    }

    pub(crate) fn read(&mut self, method: &str, arguments: &[Word]) -> Word {
        self.chain.read(self.cloister, method, arguments)
    }

    pub(crate) fn ledger_id(&mut self) -> Word {
        self.read("ledgerId", &[])
    }

    /// Tokens of an account; a contract's keeps its unit, so that what is not a whole credit shows.
    pub(crate) fn tokens(&mut self, of: Address) -> u64 {
        number(&self.chain.read(self.token, "balanceOf", &[address_word(of)]))
    }

    /// `outstanding, reserved, owed`.
    pub(crate) fn totals(&mut self) -> [u64; 3] {
        let [outstanding, reserved, owed, ..] = self.all_totals();
        [outstanding, reserved, owed]
    }

    /// How many notes were minted, and how many reservations are open.
    pub(crate) fn counts(&mut self) -> [u64; 2] {
        let [.., mint_seq, open] = self.all_totals();
        [mint_seq, open]
    }

    fn all_totals(&mut self) -> [u64; 5] {
        let done = self.send(STRANGER, "totals", &[]).unwrap();
        std::array::from_fn(|index| number(&done.output[index * WORD..(index + 1) * WORD]))
    }

    pub(crate) fn deposit(&mut self, outputs: &[[Word; 3]]) -> Result<Done, Failure> {
        let count = u64::try_from(outputs.len()).unwrap();
        self.send(DEPOSITOR, "deposit", &[&[word(32), word(count)][..], &outputs.concat()].concat())
    }

    pub(crate) fn settle(&mut self, spend: &Spend, charge: u64, guardian: &Guardian) -> Result<Done, Failure> {
        let digest = self.settle_digest(spend, charge);
        self.settle_signed(spend, charge, guardian.sign(digest))
    }

    /// What settles a reservation when its settle key signed it.
    pub(crate) fn settle_digest(&mut self, spend: &Spend, charge: u64) -> Word {
        let [nullifier, inner_next, ctx] = self.reservation(spend);
        self.read("settleDigest", &[nullifier, inner_next, ctx, word(charge)])
    }

    /// What a reservation is named by: nullifier, successor and context.
    pub(crate) fn reservation(&mut self, spend: &Spend) -> [Word; 3] {
        [spend.nullifier, spend.terms.inner_next, self.read("context", &spend.terms.words())]
    }

    pub(crate) fn reserve(&mut self, spend: &Spend) -> Result<Done, Failure> {
        self.send(STRANGER, "reserve", &spend.words())
    }

    /// A root that spends are accepted under.
    pub(crate) fn recorded_root(&mut self) -> Word {
        self.chain.call(account(STRANGER), self.tree, "recordRoot", &[]).unwrap().output.try_into().unwrap()
    }

    /// For a verifier that takes every proof: a spend of up to `terms.c_max`, its nullifier and successor of this number.
    pub(crate) fn made_up(&mut self, nullifier: u64, terms: Terms) -> Spend {
        let terms = Terms { inner_next: word(nullifier), ..terms };
        Spend { root: self.recorded_root(), nullifier: word(nullifier), terms, proof: vec![[0; 32]; 8] }
    }

    pub(crate) fn settle_signed(&mut self, spend: &Spend, charge: u64, signature: [Word; 3]) -> Result<Done, Failure> {
        let words = [&[spend.nullifier][..], &spend.terms.words(), &[word(charge)], &signature].concat();
        self.send(STRANGER, "settle", &words)
    }

    pub(crate) fn void(&mut self, spend: &Spend) -> Result<Done, Failure> {
        self.send(STRANGER, "voidOverdue", &[&[spend.nullifier][..], &spend.terms.words()].concat())
    }

    pub(crate) fn state(&mut self, nullifier: Word) -> u64 {
        number(&self.read("stateOf", &[nullifier]))
    }
}

/// The contract's ledger id by the protocol's rule.
pub(crate) fn ledger_id(chain_id: u64, contract: Address, vk_digest: Bytes32) -> Word {
    let string = LengthPrefixed::new("cloister/ledger-id/evm/v1")
        .bytes(word(chain_id))
        .bytes(contract)
        .bytes(vk_digest)
        .finish();
    sha256(&string).0
}

/// A wallet's keys and notes, and the tree, all from events.
pub(crate) struct Purse {
    key: SpendKey,
    pub(crate) tree: NoteTree,
    pub(crate) notes: Vec<(Note, u64)>,
    /// The note that each of its nullifiers spends, and the blinding factor of the successor.
    spent: Vec<(Nullifier, Note, Blind)>,
    rng: TestRng,
    lanes: u64,
}

pub(crate) const MINTED: &str = "Minted(uint64,uint64,uint256,uint256,uint256,uint64,uint256)";
pub(crate) const SETTLED: &str = "Settled(uint256,uint64,uint64,uint64,uint256)";
pub(crate) const VOIDED: &str = "Voided(uint256,uint64,uint64,uint256)";
pub(crate) const TERMS: &str = "(uint256,uint64,uint64,address,address,bytes32,bytes32,bytes32)";

pub(crate) fn fe(word: &[u8]) -> Fe {
    Fe::from_bytes(word.try_into().unwrap()).unwrap()
}

impl Purse {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = TestRng::new(seed);
        let key = SpendKey::from_secret(rng.fe());
        Self { key, tree: NoteTree::new(), notes: Vec::new(), spent: Vec::new(), rng, lanes: 0 }
    }

    /// `pk, value, b` of a new note.
    pub(crate) fn output(&mut self, value: u64) -> [Word; 3] {
        self.lanes += 1;
        [*self.key.public_key(self.lanes).as_bytes(), word(value), *self.rng.fe().as_bytes()]
    }

    /// Reads the events of a transaction: leaves, and notes of its own.
    pub(crate) fn scan(&mut self, done: &Done) {
        let exited = format!("Exited(uint256,uint256,{TERMS},uint64,uint256)");
        for log in &done.logs {
            let (topics, data) = (log.topics(), log.data.data.as_ref());
            let at = |index: usize| &data[index * WORD..(index + 1) * WORD];
            if topics[0] == keccak256(MINTED) {
                let [value, pk, rho, b] = [at(0), at(1), at(2), at(3)];
                self.append(number(at(4)), fe(at(5)));
                let owned = (1..=self.lanes).find(|lane| self.key.public_key(*lane) == NotePublicKey(fe(pk)));
                let value = credits(number(value));
                let made = leaf(inner(NotePublicKey(fe(pk)), value, fe(rho), Blind(fe(b))), Credits::ZERO);
                assert_eq!(made, Leaf(fe(at(5))), "the leaf is what was opened");
                if let Some(lane) = owned {
                    let note = Note { lane, value, rho: fe(rho), blind: Blind(fe(b)), refund: Credits::ZERO };
                    self.notes.push((note, number(at(4))));
                }
            } else if topics[0] == keccak256(SETTLED) {
                self.successor(topics[1], number(at(0)), number(at(1)), number(at(2)), fe(at(3)));
            } else if topics[0] == keccak256(VOIDED) {
                self.successor(topics[1], 0, number(at(0)), number(at(1)), fe(at(2)));
            } else if topics[0] == keccak256(&exited) {
                self.successor(topics[1], number(at(2)), 0, number(at(9)), fe(at(10)));
            }
        }
    }

    fn append(&mut self, index: u64, leaf: Fe) {
        assert_eq!(self.tree.append(Leaf(leaf)), Ok(index));
    }

    fn successor(&mut self, nullifier: B256, charge: u64, refund: u64, index: u64, made: Fe) {
        self.append(index, made);
        let nullifier = Nullifier(fe(&nullifier.0));
        let Some((_, note, blind)) = self.spent.iter().find(|(spent, ..)| *spent == nullifier) else { return };
        let value = note.balance().unwrap().checked_sub(credits(charge + refund)).unwrap();
        let note = Note { lane: note.lane, value, rho: nullifier.fe(), blind: *blind, refund: credits(refund) };
        assert_eq!(note.leaf(&self.key), Leaf(made), "the successor is worth what is left");
        self.notes.push((note, index));
    }

    pub(crate) fn balance(&self) -> u64 {
        self.notes.iter().map(|(note, _)| note.balance().unwrap().get()).sum()
    }

    /// Spends up to `terms.c_max` of the first note that suffices, in the ledger `ledger_id`, without a proof.
    pub(crate) fn unproved(
        &mut self,
        ledger_id: Word,
        vk_digest: Bytes32,
        terms: Terms,
    ) -> (Spend, SpendPublic, SpendWitness) {
        let suffices = |(note, _): &(Note, u64)| note.balance().unwrap().get() >= terms.c_max;
        let at = self.notes.iter().position(suffices).expect("a note that suffices");
        let (note, index) = self.notes.remove(at);
        let path = self.tree.path_under(index, spent_under(self.tree.len(), index)).unwrap();
        let blind_next = Blind(self.rng.fe());
        let witness = SpendWitness { spend_key: self.key.clone(), note: note.clone(), path, blind_next };
        let ctx = terms.context(ledger_id, vk_digest).digest(credits(terms.c_max));
        let public = witness.public(credits(terms.c_max), ctx).unwrap();
        self.spent.push((public.nullifier, note, blind_next));
        let terms = Terms { inner_next: *Inner::as_bytes(&public.inner_next), ..terms };
        let (root, nullifier) = (*Root::as_bytes(&public.root), *public.nullifier.as_bytes());
        (Spend { root, nullifier, terms, proof: vec![[0; 32]; 8] }, public, witness)
    }

    /// A proved spend of this world's contract.
    pub(crate) fn spend(&mut self, world: &mut World, c_max: u64, terms: Terms) -> Spend {
        let ledger_id = world.ledger_id();
        self.spend_in(ledger_id, c_max, terms)
    }

    /// A proved spend of any ledger.
    pub(crate) fn spend_in(&mut self, ledger_id: Word, c_max: u64, terms: Terms) -> Spend {
        let terms = Terms { c_max, ..terms };
        let (mut spend, public, witness) = self.unproved(ledger_id, params().verifying().digest(), terms);
        spend.proof = proof_words(&prove(params(), &public, &witness, &mut self.rng).unwrap());
        spend
    }

    /// Deposits, and has the new root recorded.
    pub(crate) fn deposit(&mut self, world: &mut World, values: &[u64]) {
        let outputs: Vec<_> = values.iter().map(|value| self.output(*value)).collect();
        let done = world.deposit(&outputs).unwrap();
        self.scan(&done);
        self.record(world);
    }

    /// Has the newest anchor recorded, as a wallet does whose note is older.
    pub(crate) fn record_anchor(&mut self, world: &mut World) {
        world.chain.call(account(STRANGER), world.tree, "recordAnchor", &[]).unwrap();
    }

    /// Has the newest root recorded, as a wallet does whose note is younger than the newest anchor.
    pub(crate) fn record(&mut self, world: &mut World) {
        let done = world.chain.call(account(STRANGER), world.tree, "recordRoot", &[]).unwrap();
        assert_eq!(done.output, *self.tree.root().as_bytes());
    }
}

/// The chain that worlds begin on.
pub(crate) const HOME: u64 = CHAIN_ID;
